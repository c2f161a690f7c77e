# A class without parameters, as small as one can be.
class espm_probe::plain {
  notify { 'espm_probe::plain is in the catalog': }
}
