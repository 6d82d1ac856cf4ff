// SPDX-License-Identifier: Apache-2.0
// PcConfig and machine.proto say the same: neither has a field that the other
// lacks or that the conversion loses.
#include "libvmm/platform/internal/machine_proto.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <random>
#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/platform/machine.pb.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::internal {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;

template <typename... Members>
int Count(const Members&...) {
  return sizeof...(Members);
}

// A member that is added to a struct does not compile here; once it is counted,
// the message must have it too.
TEST(MachineProtoTest, MessagesHaveAFieldForEachMember) {
  {
    const auto& [a, b, c, d, e, f, g, h] = PcConfig();
    EXPECT_EQ(machine::Machine::descriptor()->field_count(),
              Count(a, b, c, d, e, f, g, h));
  }
  {
    const auto& [a, b, c] = CpuTopology();
    EXPECT_EQ(machine::Topology::descriptor()->field_count(), Count(a, b, c));
  }
  {
    const auto& [model, b, c, d, e] = CpuPolicy();
    const Descriptor& cpu = *machine::Cpu::descriptor();
    EXPECT_EQ(
        cpu.oneof_decl(0)->field_count(),
        static_cast<int>(std::variant_size_v<decltype(CpuPolicy::model)>));
    EXPECT_EQ(cpu.field_count() - cpu.oneof_decl(0)->field_count(),
              Count(b, c, d, e));
  }
  {
    const auto& [a, b] = LevelCpu();
    EXPECT_EQ(machine::LevelCpu::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b, c] = CustomCpu();
    EXPECT_EQ(machine::CustomCpu::descriptor()->field_count(), Count(a, b, c));
  }
  {
    // Less flags and padding.
    const auto& [function, index, flags, a, b, c, d, padding] =
        kvm_cpuid_entry2();
    EXPECT_EQ(machine::CpuidEntry::descriptor()->field_count(),
              Count(function, index, a, b, c, d));
  }
  {
    const auto& [a, b] = libvmm::Msr();
    EXPECT_EQ(machine::Msr::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b, c, d] = PcMemory();
    EXPECT_EQ(machine::Memory::descriptor()->field_count(), Count(a, b, c, d));
  }
  {
    const auto& [a, b, c, d, e, f, g, h, i] = PcDevices();
    EXPECT_EQ(machine::Devices::descriptor()->field_count(),
              Count(a, b, c, d, e, f, g, h, i));
  }
  {
    const auto& [a] = PcDebugConsole();
    EXPECT_EQ(machine::DebugConsole::descriptor()->field_count(), Count(a));
  }
  // Without std::monostate, which is no boot field.
  EXPECT_EQ(machine::Boot::descriptor()->field_count(),
            static_cast<int>(std::variant_size_v<PcBoot>) - 1);
  {
    const auto& [a, b, c, d] = PcLinuxBoot();
    EXPECT_EQ(machine::LinuxBoot::descriptor()->field_count(),
              Count(a, b, c, d));
  }
  {
    const auto& [a, b, c] = PcMultibootBoot();
    EXPECT_EQ(machine::MultibootBoot::descriptor()->field_count(),
              Count(a, b, c));
  }
  {
    const auto& [a, b] = PcMultibootBoot::Module();
    EXPECT_EQ(machine::MultibootBoot::Module::descriptor()->field_count(),
              Count(a, b));
  }
  {
    const auto& [a] = PcElfBoot();
    EXPECT_EQ(machine::ElfBoot::descriptor()->field_count(), Count(a));
  }
  {
    const auto& [a] = PcFirmwareBoot();
    EXPECT_EQ(machine::FirmwareBoot::descriptor()->field_count(), Count(a));
  }
}

TEST(MachineProtoTest, VirtioMessagesHaveAFieldForEachMember) {
  {
    const auto& [a, b, c, d, e, f, g, h, i, j, k, l] = PcVirtioConfig();
    EXPECT_EQ(machine::Virtio::descriptor()->field_count(),
              Count(a, b, c, d, e, f, g, h, i, j, k, l));
  }
  {
    const auto& [a, b] = PcVirtioPlug();
    EXPECT_EQ(machine::VirtioPlug::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b] = PcRateLimit();
    EXPECT_EQ(machine::RateLimit::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b, c, d, e, f, g, h] = PcDisk();
    EXPECT_EQ(machine::Disk::descriptor()->field_count(),
              Count(a, b, c, d, e, f, g, h));
  }
  {
    const auto& [peer, b, c, d, e] = PcNet();
    const Descriptor& net = *machine::Net::descriptor();
    // Without std::monostate.
    EXPECT_EQ(net.oneof_decl(0)->field_count(),
              static_cast<int>(std::variant_size_v<PcNetPeer>) - 1);
    EXPECT_EQ(net.field_count() - net.oneof_decl(0)->field_count(),
              Count(b, c, d, e));
  }
  {
    const auto& [a] = PcTapNet();
    EXPECT_EQ(machine::TapNet::descriptor()->field_count(), Count(a));
  }
  {
    const auto& [a] = PcPairNet();
    EXPECT_EQ(machine::PairNet::descriptor()->field_count(), Count(a));
  }
  {
    const auto& [a, b, c] = PcVsock();
    EXPECT_EQ(machine::Vsock::descriptor()->field_count(), Count(a, b, c));
  }
  {
    const auto& [a, b, c, d] = PcShare();
    EXPECT_EQ(machine::Share::descriptor()->field_count(), Count(a, b, c, d));
  }
  {
    const auto& [a, b] = PcRng();
    EXPECT_EQ(machine::Rng::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b] = PcBalloon();
    EXPECT_EQ(machine::Balloon::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b] = PcConsole();
    EXPECT_EQ(machine::Console::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a, b] = PcConsolePort();
    EXPECT_EQ(machine::ConsolePort::descriptor()->field_count(), Count(a, b));
  }
  {
    const auto& [a] = PcInput();
    EXPECT_EQ(machine::Input::descriptor()->field_count(), Count(a));
  }
}

// Gives every field a value, of a oneof's fields the one that comes last by
// chance. Values fit the structs.
class Filler {
 public:
  explicit Filler(unsigned seed) : random_(seed) {}

  void Fill(Message& message) {
    const Descriptor& descriptor = *message.GetDescriptor();
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      if (field.real_containing_oneof() == nullptr) Fill(message, field);
    }
    for (int i = 0; i < descriptor.real_oneof_decl_count(); ++i) {
      const auto& oneof = *descriptor.oneof_decl(i);
      Fill(message, *oneof.field(random_() % oneof.field_count()));
    }
  }

 private:
  void Fill(Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    if (field.is_repeated()) {
      ASSERT_EQ(field.cpp_type(), FieldDescriptor::CPPTYPE_MESSAGE);
      for (unsigned i = random_() % 4; i > 0; --i) {
        Fill(*reflection.AddMessage(&message, &field));
      }
      return;
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        Fill(*reflection.MutableMessage(&message, &field));
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        // The first numbers are keys of CPUID entries and MSRs: each once.
        reflection.SetUInt32(
            &message, &field,
            field.name() == "port" ? random_() % 0x10000 : ++next_);
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        reflection.SetUInt64(&message, &field,
                             uint64_t{random_()} << 32 | random_());
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        reflection.SetBool(&message, &field, random_() % 2 != 0);
        break;
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto& type = *field.enum_type();
        reflection.SetEnum(&message, &field,
                           type.value(random_() % type.value_count()));
        break;
      }
      case FieldDescriptor::CPPTYPE_STRING:
        reflection.SetString(&message, &field,
                             field.name() == "halt_check"
                                 ? std::to_string(random_() % 1000 + 1) + "ms"
                                 : "text " + std::to_string(random_()));
        break;
      default:
        FAIL() << field.full_name() << " has a type that is new here";
    }
  }

  std::mt19937 random_;
  uint32_t next_ = 1;
};

TEST(MachineProtoTest, EveryFieldSurvivesTheWayThroughPcConfig) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    machine::Machine machine;
    Filler(seed).Fill(machine);
    // As ConfigToProto writes it.
    machine.set_halt_check(seed % 2 == 0 ? "250ms" : "1.5s");
    ASSERT_OK_AND_ASSIGN(const PcConfig config, ConfigFromProto(machine));
    machine::Machine back;
    ConfigToProto(config, back);
    ASSERT_EQ(back.DebugString(), machine.DebugString()) << seed;
  }
}

TEST(MachineProtoTest, WhatIsAbsentHasTheStructsDefault) {
  ASSERT_OK_AND_ASSIGN(const PcConfig config,
                       ConfigFromProto(machine::Machine()));
  machine::Machine absent;
  ConfigToProto(config, absent);
  machine::Machine defaults;
  ConfigToProto(PcConfig(), defaults);
  EXPECT_EQ(absent.DebugString(), defaults.DebugString());
  // Messages that are there and empty change nothing either.
  machine::Machine empty;
  empty.mutable_topology();
  empty.mutable_cpu();
  empty.mutable_memory();
  empty.mutable_devices();
  empty.mutable_boot();
  empty.mutable_virtio();
  ASSERT_OK_AND_ASSIGN(const PcConfig same, ConfigFromProto(empty));
  ConfigToProto(same, empty);
  EXPECT_EQ(empty.DebugString(), defaults.DebugString());
}

TEST(MachineProtoTest, EmptyChoicesHaveTheirStructsDefaults) {
  machine::Machine machine;
  machine.mutable_cpu()->mutable_level();
  machine.mutable_devices()->mutable_debug_console();
  machine.mutable_boot()->mutable_linux();
  machine.mutable_virtio()->add_disks();
  machine.mutable_virtio()->add_nets();
  machine.mutable_virtio()->mutable_vsock();
  machine.mutable_virtio()->mutable_console()->add_ports();
  ASSERT_OK_AND_ASSIGN(const PcConfig config, ConfigFromProto(machine));
  const LevelCpu& level = std::get<LevelCpu>(config.cpu.model);
  EXPECT_EQ(level.level, LevelCpu().level);
  EXPECT_EQ(level.protections, LevelCpu().protections);
  EXPECT_EQ(config.devices.debug_console->port, PcDebugConsole().port);
  EXPECT_EQ(std::get<PcLinuxBoot>(config.boot).protocol,
            PcLinuxBoot().protocol);
  ASSERT_EQ(config.virtio.disks.size(), 1u);
  EXPECT_EQ(config.virtio.disks[0].queues, PcDisk().queues);
  ASSERT_EQ(config.virtio.nets.size(), 1u);
  EXPECT_TRUE(
      std::holds_alternative<std::monostate>(config.virtio.nets[0].peer));
  EXPECT_EQ(config.virtio.nets[0].queues, PcNet().queues);
  EXPECT_EQ(config.virtio.vsock->cid, PcVsock().cid);
  EXPECT_EQ(config.virtio.console->ports.size(), 1u);
  EXPECT_FALSE(config.virtio.rng.has_value());
}

}  // namespace
}  // namespace libvmm::internal
