// Static memory: lives, then first fit, the largest first, tried in two orders.
#include "compile/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace skerry::compile {
namespace {

// Vectors may read this far over the end of a storage, and rows of windows before its beginning.
constexpr size_t kSlackBytes = 128;

struct Life {
  size_t first = SIZE_MAX, last = 0;
  size_t bytes = 0;
  bool meets(const Life& other) const { return first <= other.last && other.first <= last; }
};

size_t rounded(int64_t bytes) {
  return (static_cast<size_t>(bytes) + tensor::kAlignment - 1) / tensor::kAlignment *
         tensor::kAlignment;
}

size_t root_of(const Program& program, size_t storage) {
  while (program.storages[storage].same_as) storage = *program.storages[storage].same_as;
  return storage;
}

std::vector<size_t> last_reads(const Program& program) {
  std::vector<size_t> last(program.storages.size(), 0);
  for (size_t i = 0; i < program.steps.size(); ++i) {
    for (const size_t read : program.steps[i].reads) last[read] = i;
  }
  return last;
}

// A step that may, and whose first operand nobody reads later, writes into its memory.
void join_in_place(Program& program) {
  const auto last = last_reads(program);
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (!step.in_place || step.reads.empty()) continue;
    const size_t from = step.reads[0];
    Storage& to = program.storages[step.writes[0]];
    const Storage& source = program.storages[from];
    const bool fits = source.type == to.type && source.dims == to.dims &&
                      source.before == to.before && source.after == to.after &&
                      source.padding_value == to.padding_value;
    const bool also_read_as_other = std::ranges::count(step.reads, from) > 1;
    if (fits && !also_read_as_other && last[from] == i && source.place == Place::kArena &&
        to.place == Place::kArena && root_of(program, from) == from) {
      to.same_as = from;
    }
  }
}

std::vector<Life> lives_of(const Program& program) {
  std::vector<Life> lives(program.storages.size());
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const auto touch = [&](size_t storage) {
      Life& life = lives[root_of(program, storage)];
      life.first = std::min(life.first, i);
      life.last = std::max(life.last, i);
    };
    for (const size_t each : program.steps[i].reads) touch(each);
    for (const size_t each : program.steps[i].writes) touch(each);
  }
  for (size_t i = 0; i < lives.size(); ++i) {
    const Storage& storage = program.storages[i];
    const bool counts = storage.place == Place::kArena && !storage.same_as;
    lives[i].bytes = counts && lives[i].first != SIZE_MAX ? rounded(storage.size_bytes()) : 0;
    // What one thread reads over the end is not what another one writes.
    if (program.max_threads > 1 && lives[i].bytes > 0) lives[i].bytes += kSlackBytes;
  }
  return lives;
}

// Offsets in the order given, each at the lowest place that is free while it lives.
size_t place_all(const std::vector<Life>& lives, const std::vector<size_t>& order,
                 std::vector<size_t>& offsets) {
  size_t peak = 0;
  std::vector<size_t> placed;
  for (const size_t each : order) {
    std::vector<std::pair<size_t, size_t>> taken;
    for (const size_t other : placed) {
      if (lives[other].meets(lives[each])) {
        taken.emplace_back(offsets[other], offsets[other] + lives[other].bytes);
      }
    }
    std::ranges::sort(taken);
    size_t at = 0;
    for (const auto& [from, to] : taken) {
      if (at + lives[each].bytes <= from) break;
      at = std::max(at, to);
    }
    offsets[each] = at;
    peak = std::max(peak, at + lives[each].bytes);
    placed.push_back(each);
  }
  return peak;
}

size_t lower_bound_of(const std::vector<Life>& lives, size_t steps) {
  size_t bound = 0;
  for (size_t i = 0; i < steps; ++i) {
    size_t alive = 0;
    for (const Life& life : lives) {
      if (life.bytes > 0 && life.first <= i && i <= life.last) alive += life.bytes;
    }
    bound = std::max(bound, alive);
  }
  return bound;
}

}  // namespace

Result<void> plan(Program& program, uint64_t max_bytes) {
  join_in_place(program);
  const std::vector<Life> lives = lives_of(program);
  std::vector<size_t> by_size;
  for (size_t i = 0; i < lives.size(); ++i) {
    if (lives[i].bytes > 0) by_size.push_back(i);
  }
  std::vector<size_t> by_time = by_size;
  // Ties by number: the plan is the same on every machine.
  std::ranges::sort(by_size, std::less(),
                    [&](size_t i) { return std::pair(SIZE_MAX - lives[i].bytes, i); });
  std::ranges::sort(by_time, std::less(), [&](size_t i) { return std::pair(lives[i].first, i); });
  std::vector<size_t> offsets(lives.size(), 0);
  std::vector<size_t> other(lives.size(), 0);
  size_t peak = place_all(lives, by_size, offsets);
  if (const size_t peak_by_time = place_all(lives, by_time, other); peak_by_time < peak) {
    peak = peak_by_time;
    offsets = other;
  }
  program.arena_lower_bound = lower_bound_of(lives, program.steps.size());
  program.arena_bytes = peak + 2 * kSlackBytes;
  for (size_t i = 0; i < lives.size(); ++i) {
    if (lives[i].bytes > 0) program.storages[i].offset = kSlackBytes + offsets[i];
  }
  if (program.arena_bytes <= max_bytes) return {};
  return fail(
      Code::kResourceExhausted,
      fmt::format("the model needs {} bytes of memory for its values, more than the {} that "
                  "the target has",
                  program.arena_bytes, max_bytes));
}

}  // namespace skerry::compile
