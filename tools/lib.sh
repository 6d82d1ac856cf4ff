# Shared by the scripts in tools/. A script sources this file first:
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# It enters the repository's root folder, and answers --help, given as the first
# argument, with the comment block at the top of the script.

set -euo pipefail
tools_caller_dir=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Debian's Bazel, whatever else is first in PATH. LIBVMM_OUTPUT_BASE gives a run
# its own Bazel server and output tree.
bazel() {
  /usr/bin/bazel ${LIBVMM_OUTPUT_BASE:+"--output_base=$LIBVMM_OUTPUT_BASE"} "$@"
}

# The path FILE as the caller of the script meant it.
caller_path() {
  case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$tools_caller_dir" "$1" ;;
  esac
}

# Says in one sentence why /dev/kvm cannot be used, and what to do; false then.
check_kvm() {
  if [[ ! -e /dev/kvm ]]; then
    if grep -qwm1 vmx /proc/cpuinfo; then
      say "/dev/kvm is missing: load KVM with 'sudo modprobe kvm_intel'."
    elif grep -qwm1 svm /proc/cpuinfo; then
      say "/dev/kvm is missing: load KVM with 'sudo modprobe kvm_amd'."
    else
      say "/dev/kvm is missing and this CPU shows no virtualization: enable VT-x" \
        "or AMD-V in the firmware, or nesting in the VM that this machine is," \
        "or pass /dev/kvm into this container."
    fi
    return 1
  elif [[ $(stat -Lc %t:%T /dev/kvm) != a:e8 ]]; then
    say "/dev/kvm is not the KVM device (character device 10, 232): remove it" \
      "and load KVM again."
    return 1
  elif ! { : <>/dev/kvm; } 2>/dev/null; then
    local group
    group=$(stat -Lc %G /dev/kvm)
    if [[ ! -w /dev/kvm && $group == root ]]; then
      say "/dev/kvm may be opened by root alone: give it its group with" \
        "'sudo chown root:kvm /dev/kvm && sudo chmod 660 /dev/kvm', join that with" \
        "'sudo usermod -aG kvm $(id -un)' and log in again."
    elif [[ ! -w /dev/kvm ]]; then
      say "/dev/kvm may not be opened by $(id -un): join its group with" \
        "'sudo usermod -aG $group $(id -un)' and log in again."
    else
      say "/dev/kvm does not open: load kvm_intel or kvm_amd with modprobe," \
        "or let this container use the device."
    fi
    return 1
  fi
}

# Where `bazel build [--config=...]` puts what it builds.
bazel_bin() { bazel info "$@" bazel-bin 2>/dev/null; }

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  # The comment block at the top of the script.
  sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$(caller_path "${BASH_SOURCE[1]}")"
  exit 0
fi
