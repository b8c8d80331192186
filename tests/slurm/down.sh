#!/usr/bin/env bash
# Stops the private Slurm of up.sh by its own pid files, and removes its folder.
set -uo pipefail
home=${XPIPE_SLURM:-/tmp/xpipe-slurm-tests}
export SLURM_CONF=$home/slurm.conf
[ -s "$SLURM_CONF" ] || exit 0
gone() { # a zombie is gone
    local state
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [ "${state%% *}" = Z ]
}
stop() { # of a pid file
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    if [ -n "$pid" ] && ! gone "$pid" && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qE 'slurm|munged'; then
        kill -CONT "$pid" 2>/dev/null
        kill "$pid" 2>/dev/null
        for _ in $(seq 100); do gone "$pid" && break; sleep .1; done
        gone "$pid" || kill -9 "$pid" 2>/dev/null
    fi
    rm -f "$1"
}
# Jobs first: a slurmd leaves its jobs running on purpose.
if timeout 10 scontrol ping 2>/dev/null | grep -q 'is UP'; then
    timeout 10 scancel --user="$(id -un)" 2>/dev/null
    for _ in $(seq 60); do [ -z "$(timeout 5 squeue -h -t R,CG,S -o %i 2>/dev/null)" ] && break; sleep .1; done
fi
for node in "$home"/spool.*; do "$(dirname "$0")/node.sh" crash "${node##*.}" 2>/dev/null; done
stop "$home/run/slurmctld.pid"
stop "$home/run/munged.pid"
rm -rf "$home"
