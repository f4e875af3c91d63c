# End the processes of a throwaway broker and remove its folder, as soon as standard input ends; the folder of all
# brokers of a user goes with the last of them.
#
# usage: guard FOLDER [KEEP|-]
#
# Standard input is a pipe whose other end whoever made the broker holds: it ends when that closes it, and when that
# dies, of SIGKILL too. FOLDER/pids names the processes; one is ended only while its command line still has the name of
# the folder in it, since numbers of processes are used again. With KEEP the folder stays, and its name begins with that; with
# - it stays as it is.
set -u
folder=$1
mark=${1##*/}
case $mark in rmq-?*) ;; *) exit 2 ;; esac # whatever else is removed here would be a mistake
while read -r _; do :; done

command_line() {
    if [ -r /proc/self/cmdline ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -o args= -p "$1"; fi 2>/dev/null
}

# A node that is frozen (SIGSTOP) dies of SIGKILL too; its helpers end with it, or with its group.
end_all() {
    left=
    while read -r pid; do
        case $(command_line "$pid") in
        *"$mark"*)
            kill -9 "-$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null
            left=1
            ;;
        esac
    done <"$folder/pids"
    [ -n "$left" ]
}

tries=0
while [ -r "$folder/pids" ] && end_all && [ "$tries" -lt 250 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
[ "${2:-}" != - ] || exit 0
if [ -n "${2:-}" ]; then mv "$folder" "${folder%/*}/$2$mark"; else rm -rf "$folder"; fi
rmdir "${folder%/*}" 2>/dev/null || :
