#!/bin/sh
# Arguments: the program, and the command that each rank runs.
set -eu
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
# The working folder is one that all nodes see. Only the owner may read the key.
ISOGRAD_KEY_FILE=$PWD/.isograd-key-$SLURM_JOB_ID
export MASTER_ADDR MASTER_PORT ISOGRAD_KEY_FILE
# A shell that a signal ends runs the trap of EXIT only if the signal has a trap, too.
trap 'rm -f "$ISOGRAD_KEY_FILE"' EXIT
trap 'exit 1' INT TERM HUP
"$1" keygen "$ISOGRAD_KEY_FILE"
# Slurm's versions differ in whether a step takes over the job's --cpus-per-task.
srun --kill-on-bad-exit=1 ${SLURM_CPUS_PER_TASK:+"--cpus-per-task=$SLURM_CPUS_PER_TASK"} "$@" &
step=$!
# Slurm kills a cancelled job whose ranks take too long to save, so the key goes at once; then the ranks have
# time to end. At a signal, a shell that waits runs its trap and waits no longer; while a program runs in the
# foreground, it would not run the trap.
trap 'rm -f "$ISOGRAD_KEY_FILE"' INT TERM HUP
wait "$step" || {
  status=$?
  wait "$step" || true
  exit "$status"
}
