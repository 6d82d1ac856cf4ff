// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_OPERATIONS_H_
#define TESTS_SOAK_OPERATIONS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/soak/plan.h"
#include "tests/soak/worker.h"

namespace libvmm::soak {

// Whether an operation found something to act on.
enum class Effect { kDone, kIdle };

// Does one operation and compares what came of it. An error is a finding.
absl::StatusOr<Effect> Perform(Worker& worker, const Operation& operation);

// With the other threads gone: takes the VM out of the cell, comparing a last
// time.
absl::Status EmptyCell(Worker& worker, size_t cell);

// The operations by subject, for Perform. `machine` is that in the cell.
absl::StatusOr<Effect> CreateVm(Worker& worker, const Operation& operation);
absl::StatusOr<Effect> RunGuest(Worker& worker, Machine& machine,
                                const Operation& operation);
absl::StatusOr<Effect> ChangeMemory(Worker& worker, Machine& machine,
                                    const Operation& operation);
absl::StatusOr<Effect> ChangeEvents(Worker& worker, Machine& machine,
                                    const Operation& operation);
absl::StatusOr<Effect> SaveOrRestore(Worker& worker, Machine& machine,
                                     const Operation& operation);

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_OPERATIONS_H_
