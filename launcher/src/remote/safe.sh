# shellcheck shell=sh
# Begins the other scripts of this folder. They are sent as one line each, since csh allows no line break in
# quotes: a comment has a line of its own, and a blank may stand for every end of a line.

# Whether a file or folder is the user's, and nobody else can write to it. The mode of `ls` is one of the few
# things that all systems print alike. POSIX has no -O, but every sh does.
# shellcheck disable=SC2317,SC2329,SC3067
safe() {
  [ -O "$1" ] && case "$(ls -ldL "$1")" in ?????-??-*) ;; *) false ;; esac;
};
