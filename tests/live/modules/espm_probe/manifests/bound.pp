# A class without defaults: whoever declares it must give everything, or Hiera must.
#
# @param path   where the file goes
# @param lines  what is in it, line by line
# @param mode   the permissions of the file
class espm_probe::bound (
  String[1] $path,
  Array[String, 1] $lines,
  Pattern[/\A0[0-7]{3}\z/] $mode,
) {
  file { $path:
    ensure  => file,
    content => "${join($lines, "\n")}\n",
    mode    => $mode,
    backup  => false,
  }
}
