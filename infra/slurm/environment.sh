#!/bin/bash
# What both scripts share: the project's environment, and how a job's nodes find each other. Sourced, not run.

# activate: puts $MIKUDANCE_ENV (a virtual environment that all nodes see) on the path.
activate() {
  local root=${MIKUDANCE_ENV:?set MIKUDANCE_ENV to a virtual environment that all nodes see}
  if [[ ! -x $root/bin/python ]]; then
    echo "$root holds no bin/python: make it with 'python3 -m venv' and pip install '.[pipeline,train]' into it" >&2
    return 1
  fi
  export PATH=$root/bin:$PATH
}

# first_node: the name of the job's first node.
first_node() {
  local nodes
  mapfile -t nodes < <(scontrol show hostnames "${SLURM_JOB_NODELIST:?this runs inside a Slurm job: start it with sbatch}")
  echo "${nodes[0]:?scontrol names no node}"
}

# address_of NODE: its IPv4 address; Ray's processes know each other by address.
address_of() {
  local address
  read -r address _ < <(getent ahostsv4 "$1") || { echo "the name $1 has no IPv4 address on this node" >&2; return 1; }
  echo "$address"
}

# job_port BASE: a port that two jobs on one node do not share, BASE … BASE + 999.
job_port() {
  echo $(($1 + SLURM_JOB_ID % 1000))
}
