#!/usr/bin/env bash
# Does an image run where its users run it? Prints a line for each check, and exits with 1 when one
# fails.
#
#   docker/check.sh ENGINE IMAGE WORK [FMRIPREP [TEMPLATES]]
#
# ENGINE: docker, podman or apptainer. IMAGE: its name, or the file.sif. WORK: a new folder, which
# keeps the outputs for docker/compare.py. FMRIPREP: a dataset with an MNI space, to be run as well;
# TEMPLATES: a template home to be used with it in place of the image's.
set -uo pipefail

engine=${1:?docker, podman or apptainer} image=${2:?an image} work=${3:?a new folder}
data=${4:-} templates=${5:-}
mkdir -p "$work" && work=$(cd "$work" && pwd) || exit 2
failed=0

# Everybody may write there, since the users of the container are others than ours.
folder() { mkdir -p "$work/$1" && chmod 1777 "$work/$1" && echo "$work/$1"; }

empty_dataset() {
  mkdir -p "$work/empty"
  echo '{"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}' \
    >"$work/empty/dataset_description.json"
}

# run OPTIONS... -- WORDS...: the image, without a network and with nothing writable but what the
# options bind.
run() {
  local options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  case $engine in
    apptainer) apptainer run --containall --cleanenv --no-home "${options[@]}" "$image" "$@" ;;
    *) "$engine" run --rm --network none --read-only "${options[@]}" "$image" "$@" ;;
  esac
}

# shell WORDS...: a command of the image other than its own.
shell() {
  case $engine in
    apptainer) apptainer exec --containall --cleanenv --no-home "$image" "$@" ;;
    *) "$engine" run --rm --network none --read-only --entrypoint "$1" "$image" "${@:2}" ;;
  esac
}

bind() { if [ "$engine" = apptainer ]; then echo -B; else echo -v; fi; }

# Root and /tmp read-only, and a user whom the image does not know. In Apptainer the user is the
# caller, and /tmp has 64 MB.
nobody() { [ "$engine" = apptainer ] || echo --user 4321:4321; }
no_tmp() { [ "$engine" != podman ] || echo --read-only-tmpfs=false; }
usual() { [ "$engine" = apptainer ] || echo --user 1000:1000 --tmpfs /tmp; }

# check NAME STATUS PATTERN COMMAND...: the status it must end with, and what it must say.
check() {
  local name=$1 status=$2 pattern=$3 said got verdict=ok
  shift 3
  said=$("$@" 2>&1 </dev/null)
  got=$?
  if [ "$got" != "$status" ] || ! grep -qE -- "$pattern" <<<"$said"; then
    verdict=FAILED failed=1
  fi
  printf '%-6s %s\n' "$verdict" "$name"
  [ "$verdict" = ok ] || printf '  status %s, not %s, or no "%s" in:\n%s\n' \
    "$got" "$status" "$pattern" "$(tail -n 20 <<<"$said" | sed 's/^/    /')"
}

b=$(bind)
empty_dataset

check "version" 0 '^bids-spheres [0-9]' run -- --version
check "help" 0 'Exit status: 0 all done' run -- --help
# shellcheck disable=SC2016
check "no compiler, no pip" 0 '^none$' shell sh -c \
  'command -v cc gcc c++ clang make || ls -d /opt/bids-spheres/bin/pip* 2>/dev/null || echo none'
check "all modules load" 0 '' shell python -c '
import importlib, pkgutil, bids_spheres
for module in pkgutil.walk_packages(bids_spheres.__path__, "bids_spheres."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import nitransforms.io.itk, templateflow.client, sklearn.covariance, joblib, h5py, yaml'
check "no requirement is missing" 0 ' packages, 0 missing$' shell python -c '
from importlib.metadata import distributions
from packaging.requirements import Requirement
there = {d.name.lower().replace("_", "-"): d.version for d in distributions()}
wanted = [Requirement(line) for d in distributions() for line in d.requires or ()]
wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
missing = [str(r) for r in wanted
           if not r.specifier.contains(there.get(r.name.lower().replace("_", "-"), "0"))]
print(len(there), "packages,", len(missing), "missing", *missing)'
check "bytecode is there" 0 '^0 without$' shell python -c '
import os, sys, importlib.util
os.environ["MPLCONFIGDIR"] = "/dev/shm"  # matplotlib itself reads none that is read-only
import bids_spheres.app.participant_level, bids_spheres.reports.participant, matplotlib.figure, bids.layout
files = [m.__spec__ for m in list(sys.modules.values()) if getattr(m, "__spec__", None)]
without = [s.origin for s in files if (s.origin or "").endswith(".py")
           and not os.path.exists(importlib.util.cache_from_source(s.origin))]
print(len(without), "without", *without[:5])'

# Nothing but unquoted words come from usual, nobody and no_tmp.
# shellcheck disable=SC2046
{
  check "demo" 0 'report of the group' \
    run $(usual) $b "$(folder demo):/out" -- demo /out/demo --nprocs 2
  check "demo of an unknown user without /tmp" 0 'report of the group' \
    run $(nobody) $(no_tmp) $b "$(folder nobody):/out" -- demo /out/demo --nprocs 2
  [ "$engine" = apptainer ] ||
    check "without HOME" 0 'report of the group' "$engine" run --rm --network none --read-only \
      $(nobody) $(no_tmp) -v "$(folder homeless):/out" --entrypoint env "$image" \
      -u HOME bids-spheres demo /out/demo --nprocs 2

  demo=$work/demo/demo/fmriprep
  check "work folder elsewhere" 0 'Reports: ' \
    run $(nobody) $(no_tmp) $b "$demo:/data:ro" $b "$(folder elsewhere):/out" \
    $b "$(folder elsewhere-work):/work" -- \
    /data /out participant --atlas Power2011 -w /work --seed-maps --nprocs 2
  check "work folder is left empty" 0 '^0$' sh -c "ls -A '$work/elsewhere-work' | wc -l"

  check "usage: 2" 2 'error: ' run $(usual) -- /data
  check "unknown level: 17" 17 'no analysis level' \
    run $(usual) $b "$demo:/data:ro" -- /data /out/x everybody
  check "no input: 66" 66 '/nowhere' run $(usual) -- /nowhere /out/x participant
  check "a dataset without participants: 16" 16 'hint: ' \
    run $(usual) $b "$work/empty:/data:ro" $b "$(folder spare):/out" -- \
    /data /out participant --atlas Power2011
  check "nobody selected: 18" 18 'sub-99' \
    run $(usual) $b "$demo:/data:ro" $b "$work/spare:/out" -- \
    /data /out participant --atlas Power2011 --participant-label 99
  check "output in the read-only image: 73" 73 "can't be (written|locked|used)" \
    run $(usual) $b "$demo:/data:ro" -- /data /opt/results participant --atlas Power2011
  check "output bound read-only: 73" 73 'Read-only file system' \
    run $(usual) $b "$demo:/data:ro" $b "$work/spare:/out:ro" -- \
    /data /out participant --atlas Power2011
  check "work folder bound read-only: 73" 73 'Temporary files' \
    run $(usual) $b "$demo:/data:ro" $b "$(folder spare2):/out" $b "$work/spare:/work:ro" -- \
    /data /out participant --atlas Power2011 -w /work
  check "a template that is not there: 66" 66 'TEMPLATEFLOW_HOME' \
    run $(usual) $b "$demo:/data:ro" $b "$work/spare:/out" $b "$work/spare:/opt/templateflow:ro" \
    -- /data /out participant --atlas Power2011 --mask template

  if [ -n "$data" ]; then
    home=()
    [ -z "$templates" ] || home=("$b" "$templates:/opt/templateflow:ro")
    call=(/data /out participant --atlas Power2011 --nprocs 2)
    check "dataset" 0 'Reports: ' \
      run $(usual) $b "$data:/data:ro" $b "$(folder dataset):/out" "${home[@]}" -- \
      "${call[@]}" --strategy simple 24P --seed-maps --connectivity pearson ledoit-wolf partial
    check "dataset, unknown user, no /tmp" 0 'Reports: ' \
      run $(nobody) $(no_tmp) $b "$data:/data:ro" $b "$(folder dataset-nobody):/out" \
      $b "$(folder dataset-work):/work" "${home[@]}" -- "${call[@]}" -w /work
  fi
}

check "no temporary file is left" 0 '^0$' sh -c "find '$work' -name '.tmp-*' -o -name tmp* | wc -l"

# What a container changes in its own root, were it not read-only.
if [ "$engine" != apptainer ]; then
  name=bids-spheres-check-$$
  "$engine" run --name "$name" --network none --user 0:0 -v "$(folder root):/out" "$image" \
    demo /out/demo --nprocs 2 >/dev/null 2>&1
  check "root changes nothing in the image" 1 '' \
    sh -c "'$engine' diff '$name' | grep -vE ' /(out|etc|run|dev|proc|sys)(/|\$)| /tmp\$'"
  "$engine" rm "$name" >/dev/null
fi
exit "$failed"
