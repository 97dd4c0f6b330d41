# Pipes, subshells, background jobs, here documents, traps and exit statuses.
set -o pipefail
seq 1 3000 | grep 7 | sort -r | head -n 20 | tr '\n' ' '; echo
for i in 1 2 3 4; do (sleep 0.0$i; echo "job $i") & done | sort
wait
x=$(cat <<END | tr a-z A-Z
some text
END
)
echo "$x"
diff <(seq 1 20) <(seq 1 2 20) | wc -l
trap 'echo got usr1' USR1
kill -USR1 $$
(exit 3); echo "status $?"
(kill -9 $BASHPID); echo "status $?"
false | true; echo "pipe $?"
printf '%s\n' {a,b}{1,2} | while read -r line; do echo "<$line>"; done
trap 'echo bye' EXIT
exit 5
