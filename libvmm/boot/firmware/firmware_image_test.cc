// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/firmware/firmware_image.h"

#include <cstring>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/firmware/reset_vector.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kFourGiB = uint64_t{1} << 32;

// Every 4 KiB page is filled with its number.
std::vector<std::byte> Image(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i / 4096);
  return bytes;
}

TEST(FirmwareImageTest, ItEndsAt4GiBAndItsCopyAt1MiB) {
  struct Row {
    uint64_t size;
    GpaRange rom;
    GpaRange shadow;
  };
  for (const Row& row : {
           Row{64 * kKiB,
               {Gpa(0xffff0000), 64 * kKiB},
               {Gpa(0xf0000), 64 * kKiB}},
           Row{128 * kKiB,
               {Gpa(0xfffe0000), 128 * kKiB},
               {Gpa(0xe0000), 128 * kKiB}},
           Row{256 * kKiB,
               {Gpa(0xfffc0000), 256 * kKiB},
               {Gpa(0xe0000), 128 * kKiB}},
           Row{16 * kMiB,
               {Gpa(0xff000000), 16 * kMiB},
               {Gpa(0xe0000), 128 * kKiB}},
       }) {
    SCOPED_TRACE(row.size);
    ASSERT_OK_AND_ASSIGN(const FirmwareImage firmware,
                         FirmwareImage::Create(Image(row.size)));
    EXPECT_EQ(firmware.rom_range(), row.rom);
    EXPECT_EQ(firmware.shadow_range(), row.shadow);
  }
}

TEST(FirmwareImageTest, OtherSizesAreRefused) {
  for (const uint64_t size : {uint64_t{0}, 64 * kKiB - 1, 64 * kKiB + 1,
                              96 * kKiB, 16 * kMiB + 64 * kKiB}) {
    EXPECT_THAT(FirmwareImage::Create(Image(size)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("expected a multiple of 65536 up to "
                                   "16777216")));
  }
}

TEST(FirmwareImageTest, TheCopyIsTheEndOfTheImage) {
  ASSERT_OK_AND_ASSIGN(const FirmwareImage firmware,
                       FirmwareImage::Create(Image(256 * kKiB)));
  const auto memory = GuestMemory::Create();
  ASSERT_OK(memory->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMiB})));
  ASSERT_OK(firmware.WriteShadow(*memory));
  std::vector<std::byte> copy(128 * kKiB);
  ASSERT_TRUE(memory->Read(Gpa(0xe0000), copy));
  const std::vector<std::byte> image = Image(256 * kKiB);
  EXPECT_EQ(std::memcmp(copy.data(), image.data() + copy.size(), copy.size()),
            0);
  EXPECT_EQ(memory->Load<uint64_t>(Gpa(0xdfff8)), 0u);
}

TEST(FirmwareImageTest, TheCopyNeedsMemory) {
  ASSERT_OK_AND_ASSIGN(const FirmwareImage firmware,
                       FirmwareImage::Create(Image(128 * kKiB)));
  const auto memory = GuestMemory::Create();
  ASSERT_OK(
      memory->Add(Gpa(0xf0000), *MemoryRegion::Anonymous({.size = 64 * kKiB})));
  EXPECT_THAT(firmware.WriteShadow(*memory),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("firmware copy of 131072 bytes at gpa "
                                 "0xe0000")));
  EXPECT_EQ(memory->Load<uint64_t>(Gpa(0xffff8)), 0u);
}

TEST(ResetVectorTest, RegistersAreThoseOfAReset) {
  kvm_sregs sregs;
  kvm_regs regs;
  std::memset(&sregs, 0xff, sizeof sregs);
  std::memset(&regs, 0xff, sizeof regs);
  sregs.apic_base = 0xfee00900;
  SetResetVector(sregs, regs);
  EXPECT_EQ(sregs.cs.selector, 0xf000);
  EXPECT_EQ(sregs.cs.base, 0xffff0000u);
  EXPECT_EQ(sregs.cs.limit, 0xffffu);
  EXPECT_EQ(sregs.ds.selector, 0);
  EXPECT_EQ(sregs.ds.base, 0u);
  EXPECT_EQ(sregs.cr0, 0x60000010u);
  EXPECT_EQ(sregs.cr4, 0u);
  EXPECT_EQ(sregs.efer, 0u);
  EXPECT_EQ(sregs.idt.base, 0u);
  EXPECT_EQ(sregs.idt.limit, 0xffff);
  EXPECT_EQ(sregs.apic_base, 0xfee00900u);
  EXPECT_EQ(regs.rip, 0xfff0u);
  EXPECT_EQ(regs.rdx, 0x600u);
  EXPECT_EQ(regs.rax, 0u);
  EXPECT_EQ(regs.rflags, 2u);
}

// At the reset vector: reports, and goes on in the copy.
LIBVMM_GUEST_CODE(kResetCode, 16, R"(
  mov $0x41, %al
  out %al, $0xf4
  ljmp $0xf000, $0x1000
)");

// At F000:1000: writes into itself there, which is RAM, and reads it back.
LIBVMM_GUEST_CODE(kShadowCode, 16, R"(
  movb $0x42, %cs:0x2000
  mov %cs:0x2000, %al
  out %al, $0xf4
  hlt
)");

std::vector<std::byte> CodeImage() {
  std::vector<std::byte> image(64 * kKiB);
  const auto put = [&image](size_t offset, GuestCode code) {
    std::memcpy(image.data() + offset, code.data(), code.size());
  };
  put(0xfff0, kResetCode);
  put(0x1000, kShadowCode);
  return image;
}

TEST(FirmwareImageTest, AGuestRunsFromTheRomAndThenFromTheCopy) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(Vm vm, Vm::Create(kvm));
  ASSERT_OK_AND_ASSIGN(VmMemory memory, VmMemory::Create(vm));
  ASSERT_OK(memory.Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMiB})));
  ASSERT_OK_AND_ASSIGN(const FirmwareImage firmware,
                       FirmwareImage::Create(CodeImage()));
  ASSERT_OK(firmware.AddRom(memory));
  ASSERT_OK(firmware.WriteShadow(memory.guest_memory()));
  EXPECT_THAT(firmware.AddRom(memory),
              StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(vm, 0));
  ASSERT_OK(EnterResetVector(vcpu));
  for (const uint8_t expected : {0x41, 0x42}) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, vcpu.Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_EQ(exit.pio().port, 0xf4);
    EXPECT_THAT(exit.pio().data, ElementsAre(std::byte{expected}));
  }
  ASSERT_OK_AND_ASSIGN(const Exit exit, vcpu.Run());
  EXPECT_EQ(exit.reason(), ExitReason::kHalt);
  // The image itself has not changed, and devices cannot change it either.
  EXPECT_EQ(memory.guest_memory().Load<uint8_t>(Gpa(kFourGiB - 0xe000)), 0);
  EXPECT_FALSE(memory.guest_memory().Store<uint8_t>(Gpa(kFourGiB - 0xe000), 1));
}

}  // namespace
}  // namespace libvmm
