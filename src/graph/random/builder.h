// What the makers of random nodes share: the values so far, choices from the seed, and adding a
// node only where its shape function agrees.
#pragma once

#include <random>
#include <span>

#include "graph/inference.h"
#include "graph/random_graph.h"

namespace skerry::graph::random {

class Builder {
 public:
  Builder(Graph& graph, uint64_t seed, const RandomGraphOptions& options)
      : graph_(graph), options_(options), random_(seed) {}

  Graph& graph() { return graph_; }
  const RandomGraphOptions& options() const { return options_; }

  // --- Choices: the same on every machine, which the standard distributions are not -------------
  int64_t between(int64_t lowest, int64_t highest) {
    return lowest + static_cast<int64_t>(random_() % static_cast<uint64_t>(highest - lowest + 1));
  }
  // Of what a layer makes: up to `usual` in ordinary graphs.
  int64_t channels(int64_t usual) { return options_.wide ? between(16, 24) : between(1, usual); }
  bool chance(int percent) { return between(1, 100) <= percent; }
  float real(float lowest, float highest) {
    return lowest + (highest - lowest) * static_cast<float>(random_() >> 40) / float{1 << 24};
  }
  template <class T>
  const T& one_of(const std::vector<T>& list) {
    return list[static_cast<size_t>(between(0, static_cast<int64_t>(list.size()) - 1))];
  }

  // --- Values -----------------------------------------------------------------------------------
  // To other makers; false where there is none.
  bool offer(Value* value) {
    if (value != nullptr) values_.push_back(value);
    return value != nullptr;
  }
  const std::vector<Value*>& values() const { return values_; }
  // One of those for which `suits` holds, newer ones more often; null where there is none.
  Value* pick(const std::function<bool(const Value&)>& suits);
  // An FP32 value of that many dimensions, all fixed but perhaps the first.
  Value* pick_float(size_t lowest_rank, size_t highest_rank);
  Value& weights(std::vector<int64_t> shape, float lowest = -0.5F, float highest = 0.5F);
  Value& ints(std::vector<int64_t> values);
  Value& scalar(float value);
  Value& byte(DataType type, int64_t value);  // a scalar of 8 bits

  // --- Nodes ------------------------------------------------------------------------------------
  // Null where the operator refuses or an output would be large; then nothing is left of it.
  Node* add(Op op, std::vector<Value*> inputs, Attributes attributes = {}, size_t outputs = 1,
            const std::function<void(Node&)>& fill = {});
  // The only output, not offered to other makers.
  Value* make(Op op, std::vector<Value*> inputs, Attributes attributes = {});

 private:
  Graph& graph_;
  const RandomGraphOptions& options_;
  std::mt19937_64 random_;
  std::vector<Value*> values_;
  TypeInference inference_;
};

// Dimensions of a type that are fixed behind the first; empty where that is not so.
std::optional<std::vector<int64_t>> tail_of(const Value& value);

struct Maker {
  const char* ops;  // all that it may make
  bool continuous;
  // True where it made something (and offered it).
  bool (*make)(Builder& builder);
};

std::span<const Maker> element_makers();
std::span<const Maker> layer_makers();
std::span<const Maker> movement_makers();
std::span<const Maker> quantised_makers();
std::span<const Maker> control_makers();

}  // namespace skerry::graph::random
