// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BOOT_BOOT_RUN_H_
#define TESTS_BOOT_BOOT_RUN_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_host.h"
#include "libvmm/platform/pc_stop.h"

namespace libvmm::boot_test {

// What came of a machine that ran to its end.
struct BootRun {
  PcStop stop;
  // All that came out of its first serial port.
  std::string console;
  // From before Pc::Create until a console line ended with the marker;
  // infinite when none did.
  absl::Duration to_marker = absl::InfiniteDuration();
};

// The embedder's side of a run.
struct BootHost {
  // The first serial port's output is the run's own.
  PcHost pc = {};
  // After each piece of it, on the thread that wrote it.
  std::function<void(Pc& pc, absl::string_view console)> heard = nullptr;
};

// Runs the machine `config` on threads of its own until it stops. One that has
// not after `limit` is stopped with kFailed and the source "time limit".
//
// Errors: those of Pc::Create and PcVcpu::Run.
absl::StatusOr<BootRun> RunToStop(const Kvm& kvm, const PcConfig& config,
                                  absl::string_view marker,
                                  absl::Duration limit, BootHost host = {});

}  // namespace libvmm::boot_test

#endif  // TESTS_BOOT_BOOT_RUN_H_
