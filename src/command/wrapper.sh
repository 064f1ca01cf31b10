# Runs one command under a plain sh and sees to its end. It is joined into one line; in front of it stands `ec_h=1`, unless lines of
# shell are to be read first from the control stream, `ec_i=1` where the command has an input, and what sets the words of the
# command ("$@"), and the function x, which becomes it. Login shells of every kind pass the line on: it has no single quote,
# backslash, exclamation mark. For a program, `ec_z=INT` is what it is ended by, and what it leaves in the background is ended too.
# Standard input is the control stream (control.rs). At its end everything that runs here is ended, as sshd signals nobody then.
exec 3<&0 </dev/null; ec_e="HUP INT QUIT TERM USR1 USR2";
# n BYTES: copies so many bytes of the control stream, exactly.
n() { [ "$ec_d" ] || { dd iflag=fullblock count=0 </dev/null >/dev/null 2>&1 && ec_d=1 || ec_d=0; };
if [ $ec_d = 1 ]; then dd bs=$1 count=1 iflag=fullblock; else dd bs=1 count=$1; fi <&3 2>/dev/null; };
until [ "$ec_h" ]; do IFS= read -r ec_l <&3 || exit 255; eval "$ec_l"; done;
# Our parent and our process group now.
q() { if [ -r /proc/$$/stat ]; then read -r ec_l ec_l ec_l ec_p ec_g ec_l </proc/$$/stat;
else set -- $(ps -o ppid= -o pgid= -p $$); ec_p=$1; ec_g=$2; fi 2>/dev/null; };
# Whom signals are sent to: the process group, if it is all ours; a server may run commands in its own.
q; ec_t=$$; [ "$ec_g" -eq $$ ] 2>/dev/null && ec_t=0;
# The watcher. After an ordinary end the command is gone when the control stream ends; what it left in the background goes on,
# unless it ended because it was signalled.
e() { kill -s ${ec_z:-TERM} $ec_t && sleep 2 && kill -s KILL $ec_t; };
w() { while read -r ec_l; do ec_k=1; kill -s "$ec_l" $ec_t; done <&3; if [ "$ec_k" ] || kill -0 $$; then e; elif [ "$ec_z" ]; then kill -s TERM $ec_t; fi; };
# The same, and the standard input of the command, which the watcher writes. Where the command does not take it, what is left of
# it must not be taken for signals.
r() { while read -r ec_l; do case $ec_l in 0) break;; [1-9]*) n "$ec_l" || { cat >/dev/null; break; };; *) ec_k=1; kill -s "$ec_l" $ec_t;; esac; done <&3;
exec >/dev/null; w; };
# For a command with an input: where it does not take that, the watcher does not come to the end of the control stream. That the
# server's process is gone, which was our parent, says that the connection is.
p() { while sleep 2 && kill -0 $$; do q; [ "${ec_p:-$PPID}" -eq $PPID ] || e; done; };
# A shell that waits for the command is signalled with it, and is not to end before it.
# The command, and the script that it reads from descriptor 9.
f() { if [ "$ec_s" ]; then trap : $ec_e; printf %s "$ec_s" | { exec 9<&0 <&4 4<&- 3<&-; x "$@"; }; else exec <&4 4<&- 3<&-; x "$@"; fi; };
if [ "$ec_i" ]; then (exec >/dev/null 2>&1 3<&-; trap "" $ec_e; p &); trap : $ec_e; (exec 2>/dev/null; trap "" $ec_e; r &) | { exec 4<&0; f "$@"; };
else (exec >/dev/null 2>&1; trap "" $ec_e; w &); exec 4</dev/null; f "$@"; fi
