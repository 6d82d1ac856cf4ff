// SPDX-License-Identifier: Apache-2.0
// Sandbox::Verify finds what was changed behind the sandbox's back, for each part
// of its state, and ResetStrictly puts the vCPU right.
#include <dirent.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/hostile_guest.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

// The descriptor of the one vCPU of this process, or -1.
int FindVcpu() {
  DIR* const directory = ::opendir("/proc/self/fd");
  int found = -1;
  while (const dirent* const entry = ::readdir(directory)) {
    char target[64] = {};
    const std::string path = std::string("/proc/self/fd/") + entry->d_name;
    if (::readlink(path.c_str(), target, sizeof(target) - 1) > 0 &&
        std::strncmp(target, "anon_inode:kvm-vcpu", 19) == 0) {
      found = std::atoi(entry->d_name);
    }
  }
  ::closedir(directory);
  return found;
}

// Where the sandbox's memory is mapped for its vCPU, or null.
uint8_t* FindMemory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:libvmm-sandbox") == std::string::npos) continue;
    uintptr_t start = 0;
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%*x %4s", &start, access) ==
            2 &&
        std::strcmp(access, "rw-p") == 0) {
      return reinterpret_cast<uint8_t*>(start);
    }
  }
  return nullptr;
}

class VerifyTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kMemory = 4 << 20;

  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_,
                         HostileGuest::Create({.memory_size = kMemory,
                                               .program_stack_size = 64 << 10,
                                               .call_stack_size = 64 << 10}));
    ASSERT_OK(guest_->CheckReset(true));
    ASSERT_OK(guest_->sandbox().Reset());
    // What the sandbox holds back of registers is written now.
    ASSERT_OK(guest_->sandbox().Verify());
    vcpu_ = FindVcpu();
    ASSERT_GE(vcpu_, 0);
  }

  // Gets a struct, changes it with `change`, sets it.
  template <typename State, typename Change>
  void Plant(unsigned long get, unsigned long set, Change change) {
    State state{};
    ASSERT_EQ(::ioctl(vcpu_, get, &state), 0) << std::strerror(errno);
    change(state);
    ASSERT_EQ(::ioctl(vcpu_, set, &state), 0) << std::strerror(errno);
  }

  void ExpectFound(const char* what) {
    EXPECT_THAT(guest_->sandbox().Verify(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(what)));
    ASSERT_OK(guest_->sandbox().ResetStrictly());
    ASSERT_OK(guest_->CheckReset(true));
    ASSERT_OK(guest_->CheckReset(true));
    ASSERT_OK(guest_->sandbox().Reset());
    ASSERT_OK(guest_->sandbox().Verify());
  }

  void ExpectFoundInMemory(uint64_t offset) {
    SCOPED_TRACE(offset);
    uint8_t* const memory = FindMemory();
    ASSERT_NE(memory, nullptr);
    memory[offset] ^= 1;
    EXPECT_THAT(guest_->sandbox().Verify(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("memory")));
    memory[offset] ^= 1;
    ASSERT_OK(guest_->sandbox().Verify());
  }

  std::unique_ptr<HostileGuest> guest_;
  int vcpu_ = -1;
};

TEST_F(VerifyTest, GeneralRegisters) {
  Plant<kvm_regs>(KVM_GET_REGS, KVM_SET_REGS,
                  [](kvm_regs& regs) { regs.r12 ^= 1; });
  ExpectFound("r12");
}

TEST_F(VerifyTest, SegmentBase) {
  Plant<kvm_sregs>(KVM_GET_SREGS, KVM_SET_SREGS,
                   [](kvm_sregs& sregs) { sregs.fs.base = 0x1000; });
  ExpectFound("fs.base");
}

TEST_F(VerifyTest, InterruptTable) {
  Plant<kvm_sregs>(KVM_GET_SREGS, KVM_SET_SREGS,
                   [](kvm_sregs& sregs) { sregs.idt.limit = 0xffff; });
  ExpectFound("idt.limit");
}

TEST_F(VerifyTest, ControlRegister) {
  Plant<kvm_sregs>(KVM_GET_SREGS, KVM_SET_SREGS,
                   [](kvm_sregs& sregs) { sregs.cr4 ^= 1 << 9; });
  ExpectFound("cr4");
}

TEST_F(VerifyTest, VectorState) {
  constexpr size_t kFirstVector = 160 / sizeof(uint32_t);
  constexpr size_t kPresent = 512 / sizeof(uint32_t);
  Plant<kvm_xsave>(KVM_GET_XSAVE, KVM_SET_XSAVE, [](kvm_xsave& state) {
    state.region[kFirstVector] ^= 1;
    state.region[kPresent] |= 2;
  });
  ExpectFound("xsave");
}

TEST_F(VerifyTest, ExtendedControlRegister) {
  if (!guest_->engine().cpu().xsave) GTEST_SKIP() << "no XSAVE";
  Plant<kvm_xcrs>(KVM_GET_XCRS, KVM_SET_XCRS,
                  [](kvm_xcrs& xcrs) { xcrs.xcrs[0].value = 1; });
  ExpectFound("xcr");
}

TEST_F(VerifyTest, Breakpoint) {
  Plant<kvm_debugregs>(KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
                       [](kvm_debugregs& debug) {
                         debug.db[2] = 0x1234;
                         debug.dr7 = 0x410;
                       });
  ExpectFound("db[2]");
}

TEST_F(VerifyTest, SingleStepMark) {
  Plant<kvm_debugregs>(KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
                       [](kvm_debugregs& debug) { debug.dr6 |= 1 << 14; });
  ExpectFound("dr6");
}

TEST_F(VerifyTest, PendingException) {
  Plant<kvm_vcpu_events>(KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
                         [](kvm_vcpu_events& events) {
                           events.exception.injected = 1;
                           events.exception.nr = 6;
                         });
  ExpectFound("exception");
}

TEST_F(VerifyTest, MaskedNmi) {
  Plant<kvm_vcpu_events>(
      KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
      [](kvm_vcpu_events& events) { events.nmi.masked = 1; });
  ExpectFound("nmi.masked");
}

TEST_F(VerifyTest, ModelSpecificRegisters) {
  constexpr uint32_t kMsrs[] = {0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102};
  for (const uint32_t msr : kMsrs) {
    SCOPED_TRACE(msr);
    // struct kvm_msrs with one entry.
    alignas(kvm_msrs)
        std::array<std::byte, sizeof(kvm_msrs) + sizeof(kvm_msr_entry)>
            bytes{};
    auto* const list = reinterpret_cast<kvm_msrs*>(bytes.data());
    auto* const entry =
        reinterpret_cast<kvm_msr_entry*>(bytes.data() + sizeof(kvm_msrs));
    list->nmsrs = 1;
    entry->index = msr;
    ASSERT_EQ(::ioctl(vcpu_, KVM_GET_MSRS, list), 1);
    entry->data ^= 0x1000;
    ASSERT_EQ(::ioctl(vcpu_, KVM_SET_MSRS, list), 1);
    ExpectFound("msr");
  }
}

TEST_F(VerifyTest, TimeStampCounter) {
  uint64_t offset = 0;
  kvm_device_attr attribute{};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uintptr_t>(&offset);
  if (::ioctl(vcpu_, KVM_GET_DEVICE_ATTR, &attribute) != 0) {
    GTEST_SKIP() << "no KVM_VCPU_TSC_OFFSET";
  }
  const uint64_t planted = offset - (uint64_t{1} << 40);
  offset = planted;
  ASSERT_EQ(::ioctl(vcpu_, KVM_SET_DEVICE_ATTR, &attribute), 0);
  offset = 0;
  ASSERT_EQ(::ioctl(vcpu_, KVM_GET_DEVICE_ATTR, &attribute), 0);
  if (offset != planted) GTEST_SKIP() << "this KVM keeps no offset";
  ExpectFound("tsc");
}

TEST_F(VerifyTest, RuntimePages) {
  for (const Gpa page : {RuntimeLayout::kDescriptors,
                         RuntimeLayout::kInterrupts, RuntimeLayout::kKernelCode,
                         RuntimeLayout::kUserCode, RuntimeLayout::kTrapStack,
                         RuntimeLayout::kWork, RuntimeLayout::kArguments}) {
    ExpectFoundInMemory(page.value());
    ExpectFoundInMemory(page.value() + RuntimeLayout::kPageSize - 1);
  }
}

TEST_F(VerifyTest, MemoryToItsLastByte) {
  ExpectFoundInMemory(RuntimeLayout::kEnd.value());
  ExpectFoundInMemory(kMemory / 2 + 7);
  ExpectFoundInMemory(kMemory - 1);
}

TEST_F(VerifyTest, MemoryOfTheProgram) {
  ASSERT_TRUE(guest_->sandbox().memory().Store<uint8_t>(guest_->data(), 9));
  ExpectFound("memory");
}

}  // namespace
}  // namespace libvmm::sandbox
