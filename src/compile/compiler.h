// A model's graph to a shared object that runs it, for one target.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "compile/dlr.h"
#include "compile/interface.h"
#include "compile/object_sizes.h"
#include "compile/profile.h"
#include "compile/target.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace skerry::compile {

struct CompileOptions {
  // Several: the artifact has code and weights for each, of one kind of machine, and chooses the
  // best when it is loaded.
  std::vector<const Target*> targets;
  InterfaceOptions interface = {};
  uint64_t max_arena_bytes = uint64_t{1} << 30;
  std::string keep_source;         // a folder for the generated source; "": none
  std::vector<std::string> flags;  // more for the C++ compiler, such as -fsanitize=address
  bool check = true;  // against the reference executor, where the target runs or is emulated
  bool may_be_sparse = true;  // weights of zero may be left out, where that pays
  // One run may have up to so many, of its caller's (sharing.h).
  int max_threads = 1;
  bool shares_all = false;       // every step that can be, whether that pays or not
  bool is_static = false;        // a static library and a header instead of a shared object
  bool is_freestanding = false;  // wants no function of others, not even memcpy
  bool for_dlr = false;          // with what libdlr calls (dlr.h)
  std::vector<Tuning> tunings;   // at most one for each target
  bool profile = false;          // measure each step, where this machine runs the (last) target
};

// What became of the graph, step by step.
struct StepReport {
  std::string kernel;
  std::string instructions;  // "AVX-512 VNNI"
  std::vector<std::string> nodes;
  int64_t macs = 0;
  bool is_reference = false;   // plain loops, no kernel
  bool is_bytes = false;       // its products are of bytes
  int64_t shares = 1;          // for several threads
  std::string way = {};        // of its layer, where it has several: "rows 16x4x6x0"
  bool is_tuned = false;       // and a tuning has named it
  int64_t constant_bytes = 0;  // that it reads of the model, and
  int64_t value_bytes = 0;     // that it reads and writes besides
};

struct CompileReport {
  std::vector<StepReport> steps;   // of the last target
  std::optional<Profile> profile;  // of these steps
  std::string not_measured;        // why there is none, where one was asked for
  std::string tuning;              // what became of the tunings, for people; "" without any
  std::string sharing;             // what became of max_threads, for people; "" of one
  ObjectSizes sizes;               // of all targets' code
  size_t weight_bytes = 0;         // of the constants, those that steps read; of all targets
  size_t arena_bytes = 0;
  size_t arena_lower_bound = 0;  // of any plan for these steps
  size_t state_bytes = 0;
  size_t scratch_bytes = 0;  // of the self-check
  size_t constant_bytes = 0;
  size_t artifact_bytes = 0;
  double compiler_seconds = 0;  // the C++ compiler's
  std::string checked;          // how the result was compared with the reference; "" where not
};

struct Compiled {
  std::string artifact;  // the file's bytes
  std::string header;    // of a static library: how much memory it wants
  DlrFiles dlr;          // where asked for
  CompileReport report;
};

// `graph` is verified. kUnsupported names the node that
// stands against it; kFailedPrecondition names the package that brings the compiler.
Result<Compiled> compile(const graph::Graph& graph, const CompileOptions& options);

// The graph that is compiled: what the artifact computes is what the reference executor says of
// this one. Its inputs and outputs are those of `graph`.
struct Prepared {
  std::unique_ptr<graph::Graph> graph;
  Interface interface;
};
Result<Prepared> prepare(const graph::Graph& graph, const InterfaceOptions& options = {});

}  // namespace skerry::compile
