// For tests: models as text, compiled and held against the reference executor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compile/target.h"
#include "graph/graph.h"

namespace skerry::compile {

// The parts of a text may come in any order: constants go before nodes.
std::unique_ptr<graph::Graph> parse(const std::string& text);

// A constant with numbers that look random, as text; integers from `low` to `high`.
std::string numbers(const std::string& name, const std::vector<int64_t>& shape, unsigned seed);
std::string integers(const std::string& name, const std::string& type,
                     const std::vector<int64_t>& shape, int low, int high, unsigned seed);

// Those that this machine runs; in nightly tests (SKERRY_TEST_CROSS), of others.
std::vector<const Target*> targets_here();
// The others differ in vectors only; one is enough for what does not depend on them.
std::vector<const Target*> native();

// Against the reference on the graph that is compiled, and on the graph as it was: bytes may be
// `steps` apart there.
void check(const std::string& text, const std::vector<const Target*>& on = targets_here(),
           int64_t steps = 1);

}  // namespace skerry::compile
