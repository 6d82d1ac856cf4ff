// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/soak.h"

#include <pthread.h>

#include <algorithm>
#include <cstddef>
#include <latch>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/sanitizers.h"
#include "tests/soak/crew.h"
#include "tests/soak/world.h"

namespace libvmm::soak {
namespace {

using testing::HeapUse;
using testing::ProcessResources;

// Enough for every kind of operation to have been done.
constexpr uint64_t kWarmUpSteps = testing::kSanitized ? 100 : 200;

std::optional<std::string> SoakOnce(const SoakOptions& options, const Kvm& kvm,
                                    Counts& counts) {
  World world(kvm, counts, options.plan.cells, options.plan.shelves,
              options.threads);
  return Crew(options, world).Work();
}

// The C library keeps stacks of ended threads, 40 MiB of them in all, and which
// ones depends on who ends first. With small stacks it keeps every one, and with
// as many threads at once as ever run there is none to be added later.
void SettleThreadStacks(uint32_t workers) {
  // Theirs are no mappings that count, and may be larger than this.
  if (testing::kSanitized) return;
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, size_t{512} << 10);
  ::pthread_setattr_default_np(&attributes);
  ::pthread_attr_destroy(&attributes);
  // Each worker has a thread that kicks for it.
  const uint32_t count = 2 * workers;
  std::latch all_run(count);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < count; ++i) {
    threads.emplace_back([&] { all_run.arrive_and_wait(); });
  }
  for (std::thread& thread : threads) thread.join();
}

std::string KeptResources(const ProcessResources& before,
                          const HeapUse& heap_before) {
  std::string kept = ProcessResources::Now().Since(before);
  // A sanitizer counts what it has quarantined and its own records too.
  const HeapUse heap = HeapUse::Now();
  if (!testing::kSanitized && heap != heap_before) {
    absl::StrAppend(&kept, "heap: ", heap.bytes, " bytes in ", heap.blocks,
                    " blocks, were ", heap_before.bytes, " in ",
                    heap_before.blocks, "\n");
  }
  return kept;
}

}  // namespace

std::optional<std::string> RunSoak(const SoakOptions& options, Counts& counts) {
  if (options.threads == 0 || options.threads > kMaxThreads) {
    return absl::StrCat("threads must be 1 to ", kMaxThreads);
  }
  testing::KeepHeapInBrk();
  SettleThreadStacks(options.threads);
  const absl::StatusOr<Kvm> kvm = Kvm::Open();
  if (!kvm.ok()) return kvm.status().ToString();
  {
    SoakOptions warm_up = options;
    warm_up.time.reset();
    warm_up.steps = kWarmUpSteps;
    Counts unused;
    if (std::optional<std::string> finding = SoakOnce(warm_up, *kvm, unused)) {
      return absl::StrCat("while warming up: ", *finding);
    }
  }
  const ProcessResources before = ProcessResources::Now();
  const HeapUse heap = HeapUse::Now();
  if (std::optional<std::string> finding = SoakOnce(options, *kvm, counts)) {
    return finding;
  }
  const std::string kept = KeptResources(before, heap);
  if (kept.empty()) return std::nullopt;
  return absl::StrCat("not all was given back:\n", kept, "replay with: --seed ",
                      options.plan.seed, " --threads ", options.threads,
                      " --steps as many as each thread did\n");
}

std::string CountsTable(const Counts& counts) {
  std::string table =
      absl::StrFormat("%-18s %10s %10s\n", "operation", "done", "idle");
  for (size_t kind = 0; kind < kOperationKindCount; ++kind) {
    const Counts::PerKind& count = counts.operations[kind];
    absl::StrAppend(
        &table, absl::StrFormat("%-18s %10d %10d\n",
                                OperationName(static_cast<OperationKind>(kind)),
                                count.done.load(), count.idle.load()));
  }
  const auto row = [&](absl::string_view name, uint64_t value) {
    absl::StrAppend(&table, absl::StrFormat("%-40s %10d\n", name, value));
  };
  row("VMs made", counts.vms.load());
  row("guest iterations", counts.iterations.load());
  row("PIO exits", counts.pio_exits.load());
  row("MMIO exits", counts.mmio_exits.load());
  row("HLT exits", counts.halts.load());
  row("deadlines", counts.deadlines.load());
  row("kicks", counts.kicks.load());
  row("kicks reported by Run", counts.kicks_reported.load());
  row("other interruptions of Run", counts.interruptions.load());
  row("doorbells through an ioeventfd", counts.doorbell_events.load());
  row("coalesced writes", counts.coalesced_writes.load());
  row("interrupts that the guest took", counts.guest_interrupts.load());
  row("devices and windows compared", counts.compared.load());
  row("  not, as a change overlapped", counts.overlapped.load());
  return table;
}

}  // namespace libvmm::soak
