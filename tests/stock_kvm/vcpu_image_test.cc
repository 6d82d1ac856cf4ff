// SPDX-License-Identifier: Apache-2.0
// A guest is put back to where it was by a VcpuImage, whatever it did since to
// what it can reach from CPL 3 and CPL 0: it goes the same way again and finds
// the same values.
#include "libvmm/kvm/vcpu_image.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// XSAVE areas of the guest, 64-byte aligned: what it loads to dirty its vector
// state, and what it found.
constexpr uint64_t kDirt = 0x50000;
constexpr uint64_t kFound = 0x58000;
constexpr size_t kAreaSize = 0x4000;
constexpr size_t kXstateBv = 512;
constexpr uint64_t kCr4OsXsave = 1 << 18;

// At CPL 3: reports, which is where the image is taken; stores its vector
// state, its general registers and flags; dirties all of them; reports.
LIBVMM_GUEST_CODE(kUserProgram, 64, R"(
  out %al, $0xf4
  mov %rbx, DATA
  mov %r15, DATA + 8
  pushf
  pop DATA + 16
  mov $0x58000, %ecx
  mov $-1, %eax
  mov $-1, %edx
  xsave64 (%rcx)
  mov $0x50000, %ecx
  xrstor64 (%rcx)
  mov $0x1111, %ebx
  mov $-2, %r15
  push %rbx
  std
  stc
  out %al, $0xf4
)");

// At CPL 0: what only it can change, without instructions that a KVM which
// emulates kernel mode lacks.
LIBVMM_GUEST_CODE(kKernelProgram, 64, R"(
  out %al, $0xf4
  mov $0xc0000102, %ecx
  rdmsr
  mov %eax, DATA
  mov $0x5000, %eax
  xor %edx, %edx
  wrmsr
  mov $0xc0000082, %ecx
  rdmsr
  mov %eax, DATA + 8
  mov $0x6000, %eax
  wrmsr
  mov $0xc0000100, %ecx
  rdmsr
  mov %eax, DATA + 16
  mov $0x7000, %eax
  wrmsr
  mov %dr0, %rax
  mov %rax, DATA + 24
  mov $0x8000, %eax
  mov %rax, %dr0
  mov %cr2, %rax
  mov %rax, DATA + 32
  mov $0x9000, %eax
  mov %rax, %cr2
  out %al, $0xf4
)");

class VcpuImageGuestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK_AND_ASSIGN(msrs_, RestorableMsrs(guest_->kvm().fd(), *vcpu_));
  }

  // Runs to the first report and takes the image there.
  absl::StatusOr<VcpuImage> RunToImage() {
    const absl::StatusOr<uint32_t> ready = guest_->RunToPort(*vcpu_);
    if (!ready.ok()) return ready.status();
    Retire();
    return VcpuImage::Save(guest_->vm(), *vcpu_, {.msrs = msrs_});
  }

  // The port write under way is finished.
  void Retire() {
    ASSERT_OK_AND_ASSIGN(const Exit exit, vcpu_->Retire());
    ASSERT_EQ(exit.reason(), ExitReason::kInterrupted);
  }

  std::vector<std::string> Differences(const VcpuImage& image) {
    std::vector<std::string> differences;
    const absl::StatusOr<std::vector<VcpuDifference>> found =
        image.Compare(*vcpu_);
    EXPECT_OK(found);
    if (!found.ok()) return differences;
    for (const VcpuDifference& difference : *found) {
      differences.push_back(difference.what);
    }
    return differences;
  }

  std::vector<std::byte> Bytes(uint64_t address, size_t size) {
    std::vector<std::byte> bytes(size);
    EXPECT_TRUE(guest_->memory().Read(Gpa(address), bytes));
    return bytes;
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
  std::vector<uint32_t> msrs_;
};

TEST_F(VcpuImageGuestTest, AUserProgramFindsItsStateAgain) {
  ASSERT_OK_AND_ASSIGN(const Cpuid* const cpuid,
                       guest_->kvm().SupportedCpuid());
  const kvm_cpuid_entry2* const leaf = cpuid->Find({0xd, 0});
  if (leaf == nullptr || leaf->eax == 0) {
    GTEST_SKIP() << "this processor has no XSAVE";
  }
  guest_->Put(KernelGuest::kCode, kUserProgram);
  ASSERT_OK(guest_->Start(*vcpu_, {.privilege = Privilege::kUser}));
  // x87, SSE, AVX and AVX-512 with its upper halves, as far as they are there.
  constexpr uint64_t kVectors = 0xe7;
  const uint64_t xcr0 = leaf->eax & kVectors;
  ASSERT_OK_AND_ASSIGN(kvm_sregs* const sregs,
                       vcpu_->MutableSpecialRegisters());
  sregs->cr4 |= kCr4OsXsave;
  kvm_xcrs xcrs = {};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = xcr0;
  ASSERT_OK(SetVcpuState(*vcpu_, xcrs));
  std::vector<std::byte> dirt(kAreaSize);
  for (unsigned number = 2; number < 8; ++number) {
    if ((xcr0 >> number & 1) == 0) continue;
    const kvm_cpuid_entry2* const sub = cpuid->Find({0xd, number});
    ASSERT_NE(sub, nullptr);
    for (size_t i = 0; i < sub->eax; ++i) dirt[sub->ebx + i] = std::byte{0x5a};
  }
  for (size_t i = 160; i < 416; ++i) dirt[i] = std::byte{0xa5};  // XMM0 to 15
  const uint16_t fcw = 0x27f;  // not the value of FNINIT
  const uint32_t mxcsr = 0x1fa0;
  std::memcpy(&dirt[0], &fcw, sizeof fcw);
  std::memcpy(&dirt[24], &mxcsr, sizeof mxcsr);
  std::memcpy(&dirt[kXstateBv], &xcr0, sizeof xcr0);
  ASSERT_TRUE(guest_->memory().Write(Gpa(kDirt), dirt));

  ASSERT_OK_AND_ASSIGN(const VcpuImage image, RunToImage());
  std::vector<std::byte> first;
  std::vector<std::byte> first_vectors;
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    ASSERT_OK(guest_->RunToPort(*vcpu_));
    Retire();
    const std::vector<std::byte> found = Bytes(KernelGuest::kData, 24);
    const std::vector<std::byte> vectors = Bytes(kFound, kAreaSize);
    if (round == 0) {
      first = found;
      first_vectors = vectors;
    }
    EXPECT_EQ(found, first);
    // XSAVE has marked what it stored: the next round starts anew.
    EXPECT_TRUE(vectors == first_vectors);
    ASSERT_TRUE(
        guest_->memory().Write(Gpa(kFound), std::vector<std::byte>(kAreaSize)));

    const std::vector<std::string> dirtied = Differences(image);
    EXPECT_THAT(dirtied, Contains(HasSubstr("regs.rbx: 0x1111")));
    EXPECT_THAT(dirtied, Contains(HasSubstr("regs.r15: 0xffff")));
    EXPECT_THAT(dirtied, Contains(HasSubstr("regs.rsp")));
    EXPECT_THAT(dirtied, Contains(HasSubstr("regs.rflags")));
    EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.x87")));
    EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.mxcsr")));
    EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.sse")));
    if ((xcr0 & 4) != 0) {
      EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.avx")));
    }
    if ((xcr0 & 0xe0) != 0) {
      EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.opmask")));
      EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.zmm_hi256")));
      EXPECT_THAT(dirtied, Contains(HasSubstr("xsave.hi16_zmm")));
    }
    ASSERT_OK(image.Restore(*vcpu_));
    EXPECT_THAT(Differences(image), IsEmpty());
  }
}

TEST_F(VcpuImageGuestTest, AKernelFindsItsStateAgain) {
  guest_->Put(KernelGuest::kCode, kKernelProgram);
  ASSERT_OK(guest_->Start(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const VcpuImage image, RunToImage());
  std::vector<std::byte> first;
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    ASSERT_OK(guest_->RunToPort(*vcpu_));
    Retire();
    const std::vector<std::byte> found = Bytes(KernelGuest::kData, 40);
    if (round == 0) first = found;
    EXPECT_EQ(found, first);

    const std::vector<std::string> dirtied = Differences(image);
    EXPECT_THAT(dirtied, Contains("msr 0xc0000102: 0x5000, expected 0x0"));
    EXPECT_THAT(dirtied, Contains("msr 0xc0000082: 0x6000, expected 0x0"));
    EXPECT_THAT(dirtied, Contains("sregs.fs.base: 0x7000, expected 0x0"));
    EXPECT_THAT(dirtied, Contains("debugregs.db[0]: 0x8000, expected 0x0"));
    EXPECT_THAT(dirtied, Contains("sregs.cr2: 0x9000, expected 0x0"));
    ASSERT_OK(image.Restore(*vcpu_));
    EXPECT_THAT(Differences(image), IsEmpty());
  }
}

}  // namespace
}  // namespace libvmm
