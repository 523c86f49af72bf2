# shellcheck shell=sh
# Makes a copy of the program from standard input. Hosts may share the folder, and copy at the same time.
# $1: the folder of the copies; if it is empty, a folder in the user's cache
# $2: the SHA-256 of the copy, which is its name
# $3: the number of its bytes
# $4: "replace" if a copy that is there is to be replaced, "keep" otherwise
# $5: the days after which copies of other versions are removed
umask 077;
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/isograd};
mkdir -p "$folder" && folder=$(cd -P -- "$folder" >/dev/null && pwd -P) || exit 1;
safe "$folder" || { echo "$folder: it does not belong to the user, or others can write to it" >&2; exit 1; };
copy="$folder/$2";
part=;
trap '[ -z "$part" ] || rm -f "$part"' EXIT;
trap 'exit 1' HUP INT TERM;
part=$(mktemp "$folder/.$2.XXXXXX") && cat > "$part" && [ "$(wc -c < "$part")" -eq "$3" ] && chmod 700 "$part" || exit 1;
if [ "$4" = replace ]; then
  mv -f "$part" "$copy" || exit 1;
else
  ln "$part" "$copy" 2>/dev/null || { [ -x "$copy" ] && safe "$copy"; } || mv -f "$part" "$copy" || exit 1;
fi;
# The name of a copy has 64 hexadecimal digits; what mktemp made for one has more behind them.
name='[0-9a-f]'; name=$name$name$name$name; name=$name$name$name$name; name=$name$name$name$name;
find "$folder" -maxdepth 1 -type f -mtime "+$5" \( -name "$name" -o -name ".$name.*" \) ! -name "$2" -exec rm -f {} + 2>/dev/null;
exit 0
