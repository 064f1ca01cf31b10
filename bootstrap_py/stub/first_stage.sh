# The remote command: finds an interpreter and runs the loader in it. Joined into one line; see README.md. Its variables have names
# that no account exports: the interpreter would have them as they are here.
ec_b="import sys;exec(sys.argv[2].replace(chr(64),chr(10)).replace(chr(126),chr(34)))";
ec_c="%LOADER%";
ec_x=%MARKER_A%; ec_y=%MARKER_B%;
set -- %CANDIDATES%;
ec_o="$*";
export PYTHONSAFEPATH=1;
for ec_q do shift;
ec_v=$(command -v "$ec_q" 2>&1) && exec "$ec_q" %ARGUMENTS%-c "$ec_b" "$ec_b" "$ec_c" $ec_x $ec_y %LENGTH% "" "$@";
done;
echo "$ec_x${ec_y}n$ec_o"; exit 127
