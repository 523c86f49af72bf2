# shellcheck shell=sh
# Starts the agent of a host, or says that there is no copy of the program or that its folder is not safe. A
# copy that others can write to counts as absent: in a safe folder it can be replaced.
# $1: the folder of the copies; if it is empty, a folder in the user's cache
# $2: the SHA-256 of the copy, which is its name
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/isograd};
if folder=$(cd -P -- "$folder" 2>/dev/null >&2 && pwd -P); then
  safe "$folder" || { echo "isograd unsafe: $folder"; exit 1; };
  copy="$folder/$2";
  if [ -x "$copy" ] && safe "$copy"; then
    echo "isograd present";
    exec "$copy" agent --digest;
  fi;
fi;
echo "isograd absent: $(uname -sm)"
