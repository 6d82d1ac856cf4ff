// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_FAULT_CHECK_H_
#define LIBVMM_TESTING_FAULT_CHECK_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "libvmm/testing/fault_injection.h"

namespace libvmm::testing {

// Runs a FaultScenario as part of a googletest: prints its row, adds it to the
// totals that the program ends with, and fails the test for each thing that was
// wrong.
//
// The file that LIBVMM_FAULT_ROWS names gets a line when the scenario starts
// and a row when it has ended, separated by tabs, for tools/fault_table; a
// start without its row is a crash. The targets that this command runs have the
// tag `faults`, which libvmm_cc_fault_test gives them.
void Check(FaultScenario scenario, absl::FunctionRef<absl::Status()> body);

// kInternal unless `condition`: for a body's own checks.
absl::Status Expect(bool condition, const char* what);

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_FAULT_CHECK_H_
