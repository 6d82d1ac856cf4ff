// SPDX-License-Identifier: Apache-2.0
#include "tests/boot/guest_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace libvmm::boot_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(GuestReportTest, ReadsKeysAndValuesAmongOtherLines) {
  const GuestReport report(
      "[    0.4] PCI: Fatal: no libvmm: lie here\r\n"
      "libvmm: userspace\r\n"
      "libvmm: acpi FACP\r\n"
      "libvmm: acpi APIC of two words\r\n"
      "libvmm: cut off");
  EXPECT_TRUE(report.Has("userspace"));
  EXPECT_FALSE(report.Has("lie"));
  EXPECT_EQ(report.Value("userspace"), "");
  EXPECT_EQ(report.Value("acpi"), "FACP");
  EXPECT_THAT(report.Values("acpi"), ElementsAre("FACP", "APIC of two words"));
  EXPECT_EQ(report.Value("nothing"), "");
}

TEST(GuestReportTest, InterruptsAreFoundByNameAndByDevice) {
  const GuestReport report(
      "libvmm: interrupts            CPU0       CPU1       \n"
      "libvmm: interrupts   4:         12          3   IO-APIC   4-edge      "
      "ttyS0\n"
      "libvmm: interrupts LOC:       1302         40   Local timer "
      "interrupts\n");
  EXPECT_THAT(report.Interrupts("ttyS0"), ElementsAre(12, 3));
  EXPECT_THAT(report.Interrupts("4"), ElementsAre(12, 3));
  EXPECT_THAT(report.Interrupts("LOC"), ElementsAre(1302, 40));
  EXPECT_THAT(report.Interrupts("NMI"), IsEmpty());
}

TEST(GuestReportTest, WarningsAreWithoutLevelAndTime) {
  const GuestReport report(
      "libvmm: warning <4>[    0.546081] PCI: System does not support PCI\n"
      "libvmm: warning <3>[    4.656727] rtc_cmos rtc_cmos: broken\n");
  EXPECT_THAT(report.Warnings(), ElementsAre("PCI: System does not support PCI",
                                             "rtc_cmos rtc_cmos: broken"));
}

TEST(GuestReportTest, OnlyTheEmulationsOwnWarningIsLeftOut) {
  constexpr absl::string_view kCut =
      "libvmm: warning <4>[    0.3] ------------[ cut here ]------------\n";
  constexpr absl::string_view kEnd =
      "libvmm: warning <4>[    0.3] ---[ end trace 0000000000000000 ]---\n";
  const std::string emulation =
      std::string(kCut) +
      "libvmm: warning <4>[    0.3] XSAVE consistency problem: size 2696\n" +
      "libvmm: warning <4>[    0.3] Call Trace:\n" + std::string(kEnd) +
      "libvmm: warning <4>[    0.3] CPUID[0d, 00]: eax=00000207\n";
  const std::string other =
      std::string(kCut) + "libvmm: warning <4>[    0.3] WARNING: CPU: 0\n";
  EXPECT_THAT(GuestReport(emulation).Warnings(), IsEmpty());
  EXPECT_THAT(
      GuestReport(emulation + other + std::string(kEnd)).Warnings(),
      ElementsAre("------------[ cut here ]------------", "WARNING: CPU: 0",
                  "---[ end trace 0000000000000000 ]---"));
  // One that does not end.
  EXPECT_THAT(
      GuestReport(other).Warnings(),
      ElementsAre("------------[ cut here ]------------", "WARNING: CPU: 0"));
}

}  // namespace
}  // namespace libvmm::boot_test
