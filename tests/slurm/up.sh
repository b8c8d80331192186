#!/usr/bin/env bash
# Starts a private Slurm with virtual nodes on this machine, for the tests of the queue. Idempotent; needs root.
#   XPIPE_SLURM   its folder (default /tmp/xpipe-slurm-tests); the file `env` there sets SLURM_CONF
#   SLURM_NODES   number of nodes (default 2)
#   SLURM_CPUS    CPUs that each node claims (default 2; may be more than there are)
#   SLURM_PORT    the first of its TCP ports (default 47817)
set -euo pipefail
home=${XPIPE_SLURM:-/tmp/xpipe-slurm-tests} nodes=${SLURM_NODES:-2} cpus=${SLURM_CPUS:-2} port=${SLURM_PORT:-47817}
say() { printf 'up.sh: %s\n' "$*" >&2; }
[ "$(id -u)" = 0 ] || { say "needs root"; exit 1; }

# Daemons must not hold open files, such as locks, of whoever starts them. Bash reads this script through 255.
for fd in /proc/$$/fd/*; do
    fd=${fd##*/}
    if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then eval "exec $fd>&-"; fi
done

missing=()
for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    # The services of the packages are not to start.
    made=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && made=1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
fi

mkdir -p "$home"/{run,log,state,munge,dev}
chmod 755 "$home"
export SLURM_CONF=$home/slurm.conf
ready() { timeout 10 sinfo -h -N -p main -o %t 2>/dev/null | grep -Ec '^(idle|mix|alloc|comp)$' || true; }
alive() { # of a pid file; a zombie is not alive
    local pid state
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
    state=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) && [ "${state%% *}" != Z ]
}
if [ -s "$SLURM_CONF" ] && alive "$home/run/slurmctld.pid" && [ "$(ready)" = "$nodes" ]; then
    exit 0
fi

if ! alive "$home/run/munged.pid"; then
    [ -s "$home/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$home/munge/key")
    # --force: a parent folder such as /tmp may be written by all.
    munged --force --key-file="$home/munge/key" --socket="$home/munge/s" --pid-file="$home/run/munged.pid" \
        --log-file="$home/log/munged.log" --seed-file="$home/munge/seed" 2>>"$home/log/munged.err"
fi

# Any character device can play a GPU.
for i in 0 1; do [ -e "$home/dev/gpu$i" ] || mknod "$home/dev/gpu$i" c 1 3; done
echo "NodeName=n[1-$nodes] Name=gpu Type=fake File=$home/dev/gpu[0-1]" >"$home/gres.conf"
printf 'ConstrainCores=no\n' >"$home/cgroup.conf"
cat >"$SLURM_CONF" <<END
ClusterName=xpipe
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$home/munge/s,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
SlurmctldPidFile=$home/run/slurmctld.pid
SlurmctldLogFile=$home/log/slurmctld.log
StateSaveLocation=$home/state
SlurmdPidFile=$home/run/slurmd.%n.pid
SlurmdLogFile=$home/log/slurmd.%n.log
SlurmdSpoolDir=$home/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0,bf_interval=1
SlurmdTimeout=6
SlurmctldTimeout=10
MessageTimeout=5
KillWait=3
MinJobAge=60
CompleteWait=0
EpilogMsgTime=0
ReturnToService=2
JobRequeue=1
MaxArraySize=1001
MaxJobCount=20000
SlurmctldParameters=config_overrides
GresTypes=gpu
NodeName=DEFAULT CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=8192 TmpDisk=0 State=UNKNOWN Gres=gpu:fake:2
$(for i in $(seq 1 "$nodes"); do echo "NodeName=n$i NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 10 + i))"; done)
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PreemptExemptTime=0
PartitionName=DEFAULT Nodes=ALL DefaultTime=00:10:00 State=UP
PartitionName=main Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
PartitionName=short MaxTime=00:01:00 PriorityTier=10 PreemptMode=OFF
PartitionName=scavenge MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=1
END
echo "export SLURM_CONF=$SLURM_CONF" >"$home/env"

alive "$home/run/slurmctld.pid" || setsid slurmctld -f "$SLURM_CONF" >"$home/log/slurmctld.out" 2>&1 </dev/null
for _ in $(seq 100); do timeout 5 scontrol ping 2>/dev/null | grep -q 'is UP' && break; sleep .1; done
for i in $(seq 1 "$nodes"); do
    mkdir -p "$home/spool.n$i"
    alive "$home/run/slurmd.n$i.pid" || setsid slurmd -f "$SLURM_CONF" -N "n$i" >"$home/log/slurmd.n$i.out" 2>&1 </dev/null
    scontrol update nodename="n$i" state=resume 2>/dev/null || true
done
for _ in $(seq 150); do
    [ "$(ready)" = "$nodes" ] && exit 0
    sleep .2
done
say "not up after 30 s"
sinfo -N -l >&2 || true
tail -5 "$home"/log/*.log >&2
exit 1
