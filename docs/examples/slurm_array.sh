#!/bin/bash
# Every participant of a list by an array of Slurm jobs, then the group level.
#
#   docs/examples/slurm_array.sh LABELS BIDS_DIR OUTPUT_DIR [OPTION ...]
#
# LABELS is participants.tsv, or a file with a label on each line. The options go to every call at
# the participant level. Submits the array and, to begin when all of it has ended, the group level,
# which leaves out labels without fMRIPrep output and does not run when others are not done. Call
# it again when tasks failed or ran out of time: only what is missing is done.
#
# What may be set: PER_TASK (participants in a task, default 1; 10 to 50 in large datasets, since a
# task takes seconds to start and clusters limit their number), AT_ONCE (tasks at the same time,
# default 100), GROUP_OPTIONS, and SBATCH_PARTITION, SBATCH_ACCOUNT and the like.
#
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=01:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --job-name=bids-spheres
set -euo pipefail

[ $# -ge 3 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
labels=$1 bids_dir=$2 output_dir=$3
options=("${@:4}")
per_task=${PER_TASK:-1}

label_list() {
  awk 'NF && !(NR == 1 && $1 == "participant_id") { sub(/^sub-/, "", $1); print "sub-" $1 }' "$labels"
}
# In the dataset itself, or in those of fMRIPrep among its derivatives.
has_input() {
  if compgen -G "$bids_dir/derivatives/fmriprep*" >/dev/null; then
    compgen -G "$bids_dir/derivatives/fmriprep*/$1" >/dev/null
  else
    [ -d "$bids_dir/$1" ]
  fi
}

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  own=()
  first=$(((SLURM_ARRAY_TASK_ID - 1) * per_task + 1))
  while read -r label; do
    if has_input "$label"; then own+=("$label"); else echo "No fMRIPrep output of $label" >&2; fi
  done < <(label_list | sed -n "$first,$((first + per_task - 1))p")
  [ ${#own[@]} -gt 0 ] || exit 0
  # exec, so that the signal before the end of time reaches the program, which then tidies up.
  exec bids-spheres "$bids_dir" "$output_dir" participant "${options[@]}" \
    --participant-label "${own[@]}"
elif [ -n "${SLURM_JOB_ID:-}" ]; then
  read -ra group_options <<<"${GROUP_OPTIONS:-}"
  absent=$(label_list | while read -r label; do has_input "$label" || echo "$label"; done)
  [ -z "$absent" ] || echo "Left out, without fMRIPrep output:" $absent >&2
  states=$(bids-spheres "$bids_dir" "$output_dir" participant "${options[@]}" --dry-run -q)
  missing=$(awk 'NR == FNR { listed[$1]; next } !NF { exit } $1 in listed && !/up to date$/ { print $1 }' \
    <(label_list) - <<<"$states" | sort -u)
  if [ -n "$missing" ]; then
    echo "The group level does not run, because these are not done:" $missing >&2
    echo "Their messages are in $output_dir/logs. Submit the same again, or go on without them:" \
      "bids-spheres $bids_dir $output_dir group ${GROUP_OPTIONS:-}" >&2
    exit 1
  fi
  exec bids-spheres "$bids_dir" "$output_dir" group "${group_options[@]}"
fi

count=$(label_list | wc -l)
[ "$count" -gt 0 ] || { echo "$labels holds no label" >&2; exit 2; }
tasks=$(((count + per_task - 1) / per_task))
logs=$output_dir/logs/slurm
mkdir -p "$logs"
array=$(sbatch --parsable --array="1-$tasks%${AT_ONCE:-100}" --output="$logs/%A_%a.txt" "$0" "$@")
group=$(sbatch --parsable --dependency="afterany:${array%%;*}" \
  --output="$logs/%j_group.txt" "$0" "$@")
echo "participants: array $array of $tasks tasks; group: job $group; logs: $logs"
