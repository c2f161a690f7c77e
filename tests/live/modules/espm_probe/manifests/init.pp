# One file, so that a test can see that this class, with these parameters, reached the node.
#
# @param path     where the file goes
# @param content  what is in it
# @param ensure   whether there is such a file at all
class espm_probe (
  String[1] $path,
  String $content = 'espm',
  Enum['present', 'absent'] $ensure = 'present',
) {
  file { $path:
    ensure  => $ensure,
    content => $content,
    backup  => false,
  }
}
