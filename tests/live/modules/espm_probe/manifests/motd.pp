# A message with a node's own parameters: `role` and `owner` are top-scope variables from the ENC.
#
# @param path  where the message goes
class espm_probe::motd (
  String[1] $path,
) {
  $role  = getvar('::role', 'none')
  $owner = getvar('::owner', 'nobody')

  file { $path:
    ensure  => file,
    content => "role ${role}, owned by ${owner}, environment ${environment}\n",
    backup  => false,
  }
}
