// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/exit_counts.h"

#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"

namespace vmm {
namespace {

using libvmm::Exit;
using libvmm::ExitReason;

class ExitCountsTest : public ::testing::Test {
 protected:
  ExitCountsTest() { std::memset(page_, 0, sizeof page_); }

  Exit Pio(uint16_t port, bool write) {
    run().io = {.direction = static_cast<uint8_t>(write ? KVM_EXIT_IO_OUT
                                                        : KVM_EXIT_IO_IN),
                .size = 1,
                .port = port,
                .count = 1,
                .data_offset = 0x1000};
    return Exit(&run(), ExitReason::kPio, 0);
  }
  Exit Mmio(uint64_t gpa, bool write) {
    run().mmio.phys_addr = gpa;
    run().mmio.len = 4;
    run().mmio.is_write = write;
    return Exit(&run(), ExitReason::kMmio, 0);
  }
  Exit Other(ExitReason reason) { return Exit(&run(), reason, 0); }

  ExitCounts counts_;

 private:
  kvm_run& run() { return *reinterpret_cast<kvm_run*>(page_); }

  alignas(4096) std::byte page_[2 * 4096];
};

TEST_F(ExitCountsTest, NothingIsATableOfNothing) {
  EXPECT_EQ(counts_.Table(),
            "exit                                          count\n"
            "all                                               0\n");
}

TEST_F(ExitCountsTest, VcpusAreSummedAndTheMostFrequentComesFirst) {
  counts_.OfVcpu(0).Count(Pio(0x3f8, true));
  counts_.OfVcpu(0).Count(Pio(0x3f8, false));
  counts_.OfVcpu(0).Count(Mmio(0xfee000b0, true));
  counts_.OfVcpu(2).Count(Mmio(0xfee000b0, true));
  counts_.OfVcpu(2).Count(Pio(0x3f8, true));
  counts_.OfVcpu(2).Count(Pio(0x3f8, true));
  counts_.OfVcpu(1).Count(Other(ExitReason::kHalt));
  EXPECT_EQ(counts_.Table(),
            "exit                                          count\n"
            "KVM_EXIT_IO write 0x3f8                           3\n"
            "KVM_EXIT_MMIO write 0xfee000b0                    2\n"
            "KVM_EXIT_IO read 0x3f8                            1\n"
            "KVM_EXIT_HLT                                      1\n"
            "all                                               7\n");
}

}  // namespace
}  // namespace vmm
