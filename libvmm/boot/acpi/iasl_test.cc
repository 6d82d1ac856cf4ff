// SPDX-License-Identifier: Apache-2.0
// What ACPICA's compiler and disassembler, iasl, makes of the tables: it reads
// every one, and compiles what it has read to the same bytes without a remark.

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/acpi/acpi_tables.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kHeaderSize = 36;

// Runs a command line; gives its output and exit code.
struct Outcome {
  std::string output;
  int code = -1;
};
Outcome RunCommand(const std::string& command) {
  Outcome outcome;
  std::FILE* pipe = ::popen(absl::StrCat(command, " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  while (const size_t size = std::fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, size);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class IaslTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RunCommand("command -v iasl").code != 0) {
      GTEST_SKIP() << "iasl (package acpica-tools) is not installed";
    }
    std::string path = ::testing::TempDir() + "/iasl_test.XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  // The source of each table, by signature, with what iasl says checked.
  std::map<std::string, std::string> Disassemble(const AcpiConfig& config) {
    std::map<std::string, std::string> sources;
    const auto tables =
        BuildAcpiTables(config, {Gpa(0xe0000), uint64_t{1} << 20});
    EXPECT_OK(tables);
    if (!tables.ok()) return sources;
    for (const AcpiTables::Table& table : tables->tables) {
      const std::string name(table.signature.data(), table.signature.size());
      // iasl takes no RSDP alone.
      if (name == "RSD ") continue;
      SCOPED_TRACE(name);
      const auto bytes = tables->bytes_of(table);
      sources[name] = RoundTrip(
          name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    return sources;
  }

 private:
  std::string RoundTrip(const std::string& name, absl::string_view bytes) {
    const std::string stem = absl::StrCat(folder_, "/", name);
    std::ofstream(stem + ".dat", std::ios::binary) << bytes;
    const Outcome read = RunCommand(absl::StrCat("iasl -d ", stem, ".dat"));
    EXPECT_EQ(read.code, 0) << read.output;
    for (const char* complaint : {"Error", "Warning", "Invalid", "Incorrect"}) {
      EXPECT_EQ(read.output.find(complaint), std::string::npos) << read.output;
    }
    const Outcome written =
        RunCommand(absl::StrCat("iasl -on -p ", stem, "_again ", stem, ".dsl"));
    EXPECT_EQ(written.code, 0) << written.output;
    EXPECT_THAT(written.output, HasSubstr("0 Errors, 0 Warnings, 0 Remarks"));
    // The compiler puts its own name in the header, and the checksum differs
    // for it.
    const std::string again = ReadFile(stem + "_again.aml");
    EXPECT_EQ(again.size(), bytes.size());
    if (again.size() == bytes.size()) {
      // A FACS has no such header.
      const size_t skip = name == "FACS" ? 0 : kHeaderSize;
      EXPECT_TRUE(again.substr(skip) == bytes.substr(skip));
    }
    return ReadFile(stem + ".dsl");
  }

  std::string folder_;
};

AcpiConfig FullPc() {
  AcpiConfig config;
  config.interrupts.processors = {{0}, {1}, {2, false}, {0x100}};
  config.serial_ports = {{}, {.port = 0x2f8, .irq = 3}, {.irq = 20}};
  config.rtc = true;
  config.i8042 = AcpiI8042{};
  config.pvpanic_port = 0x505;
  config.virtio_mmio = {{.registers = {Gpa(0xd0000000), 0x1000}, .gsi = 5},
                        {.registers = {Gpa(0x12'0000'0000), 0x1000}, .gsi = 6}};
  const uint32_t gsis[] = {16, 17, 18, 19};
  config.pci = {
      {.bridge = {.memory = {{.range = {Gpa(0xc0000000), 0x10000000}},
                             {.range = {Gpa(0x80'0000'0000), 0x8'0000'0000},
                              .prefetchable = true}},
                  .routes = SwizzledPciRoutes(gsis)},
       .ecam = Gpa(0xe0000000)},
      {.bridge = {.segment = 1,
                  .buses = {.first = 0, .last = 15},
                  .config_ports = false,
                  .io = {}},
       .ecam = Gpa(0x40'0000'0000)}};
  return config;
}

TEST_F(IaslTest, FullPc) {
  const auto sources = Disassemble(FullPc());
  if (sources.size() != 6) FAIL() << sources.size() << " tables";
  EXPECT_THAT(sources.at("FACP"), HasSubstr("SCI Interrupt : 0009"));
  EXPECT_THAT(sources.at("FACP"),
              HasSubstr("8042 Present on ports 60/64 (V2) : 1"));
  EXPECT_THAT(sources.at("FACP"), HasSubstr("CMOS RTC Not Present (V5) : 0"));
  EXPECT_THAT(sources.at("FACP"),
              HasSubstr("Reset Register Supported (V2) : 1"));
  EXPECT_THAT(sources.at("FACP"), HasSubstr("Value to cause reset : 06"));
  EXPECT_THAT(sources.at("APIC"), HasSubstr("[Processor Local x2APIC]"));
  EXPECT_THAT(sources.at("APIC"), HasSubstr("[Interrupt Source Override]"));
  EXPECT_THAT(sources.at("MCFG"), HasSubstr("Base Address : 00000000E0000000"));
  for (const char* line : {
           "Name (\\_S5, Package (0x04)",
           "Name (_HID, EisaId (\"PNP0A08\")",
           "Name (_HID, EisaId (\"PNP0501\")",
           "Name (_HID, \"LNRO0005\")",
           "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, )",
           "Memory32Fixed (ReadWrite,",
           "QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, "
           "Prefetchable, ReadWrite,",
           "Name (_CCA, One)",
           "Method (_OSC, 4, Serialized)",
       }) {
    EXPECT_THAT(sources.at("DSDT"), HasSubstr(line));
  }
}

TEST_F(IaslTest, AllOfTheFixedHardware) {
  AcpiFixedHardware hardware;
  hardware.gpe0 = AcpiFixedHardware::Gpe0{.port = 0x60c, .size = 4};
  hardware.smi =
      AcpiFixedHardware::SmiCommand{.acpi_enable = 0xf1, .acpi_disable = 0xf0};
  hardware.sleep_button = true;
  AcpiConfig config;
  config.hardware = hardware;
  const auto sources = Disassemble(config);
  if (sources.size() != 5) FAIL() << sources.size() << " tables";
  EXPECT_THAT(sources.at("FACP"), HasSubstr("GPE0 Block Address : 0000060C"));
  EXPECT_THAT(sources.at("FACP"), HasSubstr("GPE0 Block Length : 04"));
  EXPECT_THAT(sources.at("FACP"), HasSubstr("SMI Command Port : 000000B2"));
  EXPECT_THAT(sources.at("FACP"), HasSubstr("ACPI Enable Value : F1"));
  EXPECT_THAT(sources.at("FACP"),
              HasSubstr("Control Method Sleep Button (V1) : 0"));
}

TEST_F(IaslTest, SmallestPc) { EXPECT_EQ(Disassemble({}).size(), 5u); }

TEST_F(IaslTest, ReducedHardware) {
  AcpiConfig config = FullPc();
  config.hardware = AcpiReducedHardware{};
  config.power_button_gsi = 21;
  const auto sources = Disassemble(config);
  if (sources.size() != 5) FAIL() << sources.size() << " tables";
  EXPECT_THAT(sources.at("FACP"), HasSubstr("Hardware Reduced (V5) : 1"));
  EXPECT_THAT(sources.at("DSDT"), HasSubstr("Notify (\\_SB.PWRB, 0x80)"));
}

// Statements that no table here has.
TEST_F(IaslTest, EveryKindOfTerm) {
  using namespace aml;  // NOLINT: many short names
  Writer writer;
  writer.OperationRegion("REGN", RegionSpace::kSystemIo, 0x600, 16);
  const FieldUnit units[] = {{"LOW", 4}, {"", 100}, {"HIGH", 8}};
  writer.Field("REGN", FieldAccess::kByte, units);
  writer.Method("DO", {.argument_count = 2}, [&] {
    writer.Evaluate(Add(Arg(0), Arg(1), Local(0)));
    writer.Evaluate(Subtract(Local(0), Integer(0x1'0000'0000), Local(1)));
    writer.While(Less(Local(1), Integer(10)),
                 [&] { writer.Evaluate(Add(Local(1), Integer(1), Local(1))); });
    writer.If(LogicalAnd(Greater(Local(0), Integer(3)),
                         LogicalNot(LogicalOr(Arg(0), Arg(1)))),
              [&] { writer.Store(Name("HIGH"), Name("LOW")); });
    writer.Else([&] { writer.Evaluate(Not(Local(0), Name("LOW"))); });
    writer.Evaluate(
        ShiftLeft(ShiftRight(Arg(0), Integer(2)), Integer(4), Name("HIGH")));
    writer.Store(Package({Integer(7), String("seven")}), Local(3));
    writer.Return(
        DerefOf(Index(Local(3), Subtract(SizeOf(Local(3)), Integer(2)))));
  });
  writer.Method("CALL", {}, [&] {
    writer.Return(Call("\\DO", {Integer(1), Integer(2)}));
  });
  AcpiConfig config;
  config.extra_aml.assign(writer.bytes().begin(), writer.bytes().end());
  const auto sources = Disassemble(config);
  if (sources.size() != 5) FAIL() << sources.size() << " tables";
  EXPECT_THAT(sources.at("DSDT"), HasSubstr("Return (\\DO (One, 0x02))"));
  EXPECT_THAT(sources.at("DSDT"), HasSubstr("DerefOf (Local3"));
}

}  // namespace
}  // namespace libvmm
