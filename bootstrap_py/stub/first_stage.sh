# The remote command: finds an interpreter and runs the loader in it. Joined into one line; see README.md. Its variables have names
# that no account exports: the interpreter would have them as they are here.
_b="import sys;exec(sys.argv[2].replace(chr(64),chr(10)).replace(chr(126),chr(34)))";
_c="%LOADER%";
_x=%MARKER_A%; _y=%MARKER_B%;
set -- %CANDIDATES%;
_o="$*";
export PYTHONSAFEPATH=1;
for _q do shift;
_v=$(command -v "$_q" 2>&1) && exec "$_q" %ARGUMENTS%-c "$_b" "$_b" "$_c" $_x $_y %LENGTH% "" "$@";
done;
echo $_x$_y"n$_o"; exit 127
