// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/kernel_mode_probe.h"

#include <gtest/gtest.h>

#include "libvmm/kvm/kvm.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

TEST(KernelModeProbeTest, AStockKvmRunsKernelMode) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const bool runs, RunsKernelMode(kvm));
  LIBVMM_NEEDS_STOCK_KVM(runs, "kernel mode is emulated");
  EXPECT_TRUE(runs);
}

TEST(KernelModeProbeTest, TheAnswerIsTheSameEachTime) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const bool first, RunsKernelMode(kvm));
  ASSERT_OK_AND_ASSIGN(const bool second, RunsKernelMode(kvm));
  EXPECT_EQ(first, second);
}

}  // namespace
}  // namespace libvmm
