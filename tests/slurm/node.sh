#!/usr/bin/env bash
# node.sh crash|part|start NODE: what happens to a node of the Slurm of up.sh.
#   crash   power loss: its slurmd, the job steps and the jobs end at once and report nothing
#   part    only its slurmd ends, jobs go on: a network partition, as the controller sees it
#   start   the node comes (back) up
set -euo pipefail
home=${XPIPE_SLURM:-/tmp/xpipe-slurm-tests} node=$2
export SLURM_CONF=$home/slurm.conf
for fd in /proc/$$/fd/*; do # as in up.sh
    fd=${fd##*/}
    if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then eval "exec $fd>&-"; fi
done
pid_file=$home/run/slurmd.$node.pid
steps() { # the step daemons of the node: they hold its log open
    for pid in $(pgrep -x slurmstepd); do
        for file in /proc/"$pid"/fd/*; do
            [ "$(readlink "$file" 2>/dev/null)" = "$home/log/slurmd.$node.log" ] && { echo "$pid"; break; }
        done
    done
    true
}
case $1 in
crash)
    # A step daemon that outlives its job by a moment would report the end of it.
    daemon=$(cat "$pid_file" 2>/dev/null || true) groups='' found=$(steps)
    for step in $found; do
        for child in $(pgrep -P "$step" || true); do groups="$groups -$(ps -o pgid= -p "$child" | tr -d ' ')"; done
    done
    [ -z "$found$daemon" ] || kill -9 $found $daemon 2>/dev/null || true
    [ -z "$groups" ] || kill -9 -- $groups 2>/dev/null || true
    rm -f "$pid_file"
    ;;
part) kill -9 "$(cat "$pid_file")" && rm -f "$pid_file" ;;
start) setsid slurmd -f "$SLURM_CONF" -N "$node" >"$home/log/slurmd.$node.out" 2>&1 </dev/null ;;
*) echo "usage: $0 crash|part|start NODE" >&2; exit 2 ;;
esac
