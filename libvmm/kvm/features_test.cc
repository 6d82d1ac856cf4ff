// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/features.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cstdio>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(FeaturesTest, EmptyHasNothing) {
  const Features features;
  for (const Feature feature : Features::All()) {
    EXPECT_FALSE(features.has(feature)) << Features::Name(feature);
  }
}

TEST(FeaturesTest, EveryFeatureHasItsOwnNameAndAFallback) {
  std::set<std::string> names;
  for (const Feature feature : Features::All()) {
    const std::string name(Features::Name(feature));
    EXPECT_THAT(name, HasSubstr("KVM_CAP_"));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_FALSE(Features::Fallback(feature).empty()) << name;
  }
  EXPECT_EQ(names.size(), Features::All().size());
}

TEST(FeaturesTest, RequireNamesTheMissingCapability) {
  EXPECT_THAT(
      Features().Require(Feature::kSmm),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("KVM_CAP_X86_SMM")));
}

TEST(FeaturesTest, NumberOutsideTheTableIsAbsentAndHasAName) {
  const Feature unknown = static_cast<Feature>(251);
  EXPECT_EQ(Features().value(unknown), 0);
  EXPECT_EQ(Features::Name(unknown), "unknown capability");
  EXPECT_FALSE(Features::IsPerVm(unknown));
}

TEST(FeaturesTest, ProbeOfAnotherFileFindsNothing) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(null.valid());
  const Features features = Features::Probe(null.get());
  for (const Feature feature : Features::All()) {
    EXPECT_EQ(features.value(feature), 0) << Features::Name(feature);
  }
}

TEST(FeaturesTest, ProbeAgreesWithTheKernelAndPrintsTheTable) {
  LIBVMM_NEEDS_KVM();
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(kvm.valid());
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  ASSERT_TRUE(vm.valid());

  const Features system = Features::Probe(kvm.get());
  const Features per_vm = system.ProbeVm(vm.get());
  EXPECT_TRUE(system.has(Feature::kUserMemory));
  EXPECT_OK(system.Require(Feature::kUserMemory));
  EXPECT_EQ(system.value(Feature::kMemslotCount),
            ::ioctl(kvm.get(), KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS));

  std::printf("%-36s %8s %8s  %s\n", "feature", "system", "VM", "without it");
  for (const Feature feature : Features::All()) {
    const int number = static_cast<int>(feature);
    SCOPED_TRACE(std::string(Features::Name(feature)));
    EXPECT_EQ(system.value(feature),
              ::ioctl(kvm.get(), KVM_CHECK_EXTENSION, number));
    EXPECT_EQ(per_vm.value(feature),
              ::ioctl(Features::IsPerVm(feature) ? vm.get() : kvm.get(),
                      KVM_CHECK_EXTENSION, number));
    std::printf("%-36s %8d ", std::string(Features::Name(feature)).c_str(),
                system.value(feature));
    if (Features::IsPerVm(feature)) {
      std::printf("%8d", per_vm.value(feature));
    } else {
      std::printf("%8s", "");
    }
    std::printf("  %s\n", std::string(Features::Fallback(feature)).c_str());
  }
}

}  // namespace
}  // namespace libvmm
