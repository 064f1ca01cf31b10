# The remote command: finds an interpreter and runs the loader in it. Joined into one line; see README.md.
b="import sys;exec(sys.argv[2].replace(chr(64),chr(10)).replace(chr(126),chr(34)))";
c="%LOADER%";
x=%MARKER_A%; y=%MARKER_B%;
set -- %CANDIDATES%;
t="$*";
export PYTHONSAFEPATH=1;
for p do shift;
v=$(command -v "$p" 2>&1) && exec "$p" %ARGUMENTS%-c "$b" "$b" "$c" $x $y %LENGTH% "" "$@";
done;
echo "$x${y}n$t"; exit 127
