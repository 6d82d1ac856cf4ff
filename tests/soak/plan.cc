// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/plan.h"

#include "absl/strings/str_cat.h"
#include "tests/soak/random.h"

namespace libvmm::soak {
namespace {

// Each thread begins with making so many VMs, so that there are some.
constexpr uint64_t kFirstVms = 2;

struct Row {
  absl::string_view name;
  // How often, out of the sum of all rows.
  uint32_t weight;
};

constexpr std::array<Row, kOperationKindCount> kRows = {{
    {"create_vm", 3},
    {"destroy_vm", 1},
    {"run", 24},
    {"run_for_exits", 5},
    {"spin", 3},
    {"spin_until_kicked", 4},
    {"halt", 4},
    {"kick", 24},
    {"kick_stale", 4},
    {"toggle_device", 24},
    {"check_device", 8},
    {"toggle_window", 14},
    {"host_access", 20},
    {"reclaim", 4},
    {"toggle_dirty", 4},
    {"check_dirty", 6},
    {"toggle_doorbell", 10},
    {"toggle_coalesced", 10},
    {"toggle_irq", 6},
    {"signal_irq", 8},
    {"check_irq", 6},
    {"change_routes", 4},
    {"save_vcpu", 8},
    {"restore_vcpu", 10},
    {"save_vm", 3},
    {"restore_vm", 3},
}};

constexpr uint32_t TotalWeight() {
  uint32_t total = 0;
  for (const Row& row : kRows) total += row.weight;
  return total;
}

const Row& RowOf(OperationKind kind) {
  return kRows[static_cast<size_t>(kind)];
}

}  // namespace

absl::string_view OperationName(OperationKind kind) { return RowOf(kind).name; }

Operation PlanOperation(const PlanOptions& options, uint32_t thread,
                        uint64_t step) {
  Random random(Random::Mix(options.seed) ^
                Random::Mix((uint64_t{thread} << 48) + step + 1));
  Operation operation;
  uint32_t pick = random.Below(TotalWeight());
  size_t kind = 0;
  while (pick >= kRows[kind].weight) pick -= kRows[kind++].weight;
  operation.kind = static_cast<OperationKind>(kind);
  operation.cell = random.Below(options.cells);
  if (step < kFirstVms) {
    operation.kind = OperationKind::kCreateVm;
    operation.cell =
        static_cast<uint32_t>((thread * kFirstVms + step) % options.cells);
  }
  operation.vcpu = random.Below(2);
  operation.shelf = random.Below(options.shelves);
  for (uint32_t& word : operation.words) {
    word = static_cast<uint32_t>(random.Next());
  }
  return operation;
}

std::string Describe(const Operation& operation) {
  std::string text = absl::StrCat(
      OperationName(operation.kind), " cell=", operation.cell,
      " vcpu=", operation.vcpu, " shelf=", operation.shelf, " words=");
  for (const uint32_t word : operation.words) {
    absl::StrAppend(&text, absl::Hex(word, absl::kZeroPad8), " ");
  }
  text.pop_back();
  return text;
}

}  // namespace libvmm::soak
