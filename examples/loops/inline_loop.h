// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_INLINE_LOOP_H_
#define LIBVMM_EXAMPLES_LOOPS_INLINE_LOOP_H_

#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/pc_vcpu.h"

namespace loops {

// No loop and no second thread: the thread that runs the guest serves its
// sources between two exits. For machines with one vCPU; several machines take
// turns on a thread, a slice each.

// Serves what is ready or due, with poll(2). If there is nothing, sleeps until
// there is: at most `max_wait`, until a signal comes, or until `wake_fd` is
// readable (-1: none).
absl::Status ServeSources(std::span<libvmm::EventSource* const> sources,
                          const libvmm::Clock& clock, absl::Duration max_wait,
                          int wake_fd = -1);

// Runs `vcpu` and serves `sources` by turns for `slice` of the clock, then
// returns kDeadline; or earlier with what PcVcpu::Run has for the embedder. An
// infinite slice runs on until then. kHalted is dealt with here, and so is
// kInterrupted, since the timer's signal can come late: a signal handler that
// wants the thread back kicks the vCPU.
//
// The guest moves a deadline by an exit of this very thread, so it is asked for
// after each exit and none is missed. A descriptor that becomes readable from
// outside while the guest runs without exits is seen a millisecond late at
// most: kick the vCPU where that is too late.
//
// Thread-safety: vCPU-thread. Nobody else serves the sources.
// Errors: the host's: PcVcpu::Run's, a timer's, poll's.
// Cost: for each exit one poll(2) and two timer_settime(2). PcVcpu::Run on a
//     thread of its own needs none of them.
absl::StatusOr<libvmm::PcRunResult> RunInline(
    libvmm::PcVcpu& vcpu, libvmm::VcpuThread& thread,
    std::span<libvmm::EventSource* const> sources, const libvmm::Clock& clock,
    absl::Duration slice);

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_INLINE_LOOP_H_
