#!/usr/bin/env bash
# A Slurm of two nodes, n1 and n2, that exists for one test: a controller on n1 and a daemon on each node.
# usage: unshare --mount --pid --net --uts --ipc --fork --kill-child cluster.sh FOLDER
#
# The script is the first process of namespaces of its own. So its ports, host names, sockets and mounts meet
# nobody else's, and everything that it started ends with it. It prints its process id as the world outside
# sees it (for nsenter) once both nodes are idle, and ends when its standard input is closed. Slurm's own
# output lies in FOLDER.
set -euo pipefail
folder=$1

# /proc is still that of the world outside.
read -r process _ </proc/self/stat
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# Slurm and ranks look the nodes up by name, and may ask for nothing else.
printf '127.0.0.1 localhost\n10.0.0.1 n1\n10.0.0.2 n2\n' >"$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts

# n1 is the namespace of this script, n2 another one: a rank takes ranks of another network namespace for
# those of another host.
hostname n1
ip link set lo up
ip netns add n2
ip -n n2 link set lo up
ip link add eth0 type veth peer name eth0 netns n2
ip address add 10.0.0.1/24 dev eth0
ip -n n2 address add 10.0.0.2/24 dev eth0
ip link set eth0 up
ip -n n2 link set eth0 up

# Slurm's programs trust each other through munge. --force: whatever the modes of the folder's parents.
mkdir -p /run/munge "$folder/munge"
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")
munged --foreground --force --key-file="$folder/munge/key" --pid-file=/run/munge/pid \
  --seed-file="$folder/munge/seed" --log-file="$folder/munge/log" &>"$folder/munge/output" &

# More cores than the machine may have, so that no job waits for another one. The times bear a loaded machine.
cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=n1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MessageTimeout=100
TCPTimeout=100
BatchStartTimeout=100
NodeName=n1,n2 CPUs=8
PartitionName=main Nodes=ALL Default=YES
END
export SLURM_CONF=$folder/slurm.conf
# Named, since Slurm looks for the version of the control groups otherwise, and a container may have none.
# Nothing uses them.
echo CgroupPlugin=cgroup/v1 >"$folder/cgroup.conf"
mkdir "$folder/state"

wait_for() {
  # Longer than anything takes, on a loaded machine too.
  for ((tries = 0; tries < 1200; tries++)); do
    if "$@" &>/dev/null; then return; fi
    sleep 0.1
  done
  echo "for two minutes, this has not held: $*" >&2
  exit 1
}
all_idle() { [[ $(sinfo --noheader --Node --format=%t) == $'idle\nidle' ]]; }

wait_for munge --no-input
slurmctld -D &>"$folder/slurmctld.log" &
slurmd -D -N n1 &>"$folder/n1.log" &
# n2 is another machine to all that a program can see of it: its name, its network, its shared memory.
# shellcheck disable=SC2016  # The inner shell expands it.
nsenter --net=/run/netns/n2 unshare --uts --ipc --mount sh -ec '
  hostname n2
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
  exec slurmd -D -N n2
' &>"$folder/n2.log" &
wait_for all_idle

echo "$process"
cat >/dev/null
