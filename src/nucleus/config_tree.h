// The configuration of all components as plain data: per component a tree of maps whose leaves are
// JSON scalars or lists, each with the time of its last change. Keys compare case-insensitively
// (ASCII) and keep the spelling they were first written with; component names are exact.
//
// One rule decides every write: a value takes effect where nothing it would replace is newer
// (timestamp >= the old one). A leaf is replaced whole, lists included; a map is merged key by key;
// a leaf written over a map, or a map over a leaf, replaces the whole of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"

namespace skerry::nucleus {

using KeyPath = std::vector<std::string>;

struct ConfigLimits {
  size_t depth = 32;                 // keys from the root to a leaf, and nesting inside a list
  size_t key_bytes = 1024;           // of one key
  size_t component_bytes = 1 << 20;  // keys and values of one component
  bool operator==(const ConfigLimits&) const = default;
};

class ConfigTree {
 public:
  // Recipe defaults carry this time, so that anything set later wins over them.
  static constexpr int64_t kDefaultTimestampMs = 1;

  explicit ConfigTree(ConfigLimits limits = {}) : limits_(limits) {}

  // kNotFound where the component or the key does not exist. {} is the path of everything.
  Result<nlohmann::json> get(const ComponentName& component, const KeyPath& key_path) const;
  // The same as compact JSON appended to `out`, without building a document; false where absent.
  // A leaf's text is written as it is.
  bool append_json(const ComponentName& component, const KeyPath& key_path, std::string& out) const;
  enum class Kind { kAbsent, kLeaf, kMap };
  Kind kind(const ComponentName& component, const KeyPath& key_path) const;
  // When the newest of what stands at a path was set; 0 where nothing stands.
  int64_t modified_ms(const ComponentName& component, const KeyPath& key_path) const {
    const Node* node = find(component, key_path);
    return node ? newest_ms(*node) : 0;
  }
  bool has(const ComponentName& component) const { return components_.contains(component); }
  std::vector<ComponentName> components() const;

  // Whether merge() would accept the value: an object where `key_path` is empty, and within the
  // limits. kInvalidArgument or kResourceExhausted, naming the key.
  Result<void> check(const ComponentName& component, const KeyPath& key_path,
                     const nlohmann::json& value, int64_t timestamp_ms) const;
  // Creates the component where it does not exist. Returns the paths of what changed; older values
  // are skipped silently. Fails as check() does, and then changes nothing.
  Result<std::vector<KeyPath>> merge(const ComponentName& component, const KeyPath& key_path,
                                     const nlohmann::json& value, int64_t timestamp_ms);
  Result<std::vector<KeyPath>> apply_defaults(const ComponentName& component,
                                              const nlohmann::json& defaults);
  // Removes what the JSON pointers name ("" = everything); a pointer to nothing is fine. Returns
  // the paths that were removed. kInvalidArgument on a bad pointer, and then nothing is removed.
  Result<std::vector<KeyPath>> reset(const ComponentName& component,
                                     const std::vector<std::string>& pointers);
  void remove(const ComponentName& component) { components_.erase(component); }
  // The component as it is in `other`, with its times; nothing where it is not there.
  void adopt(const ComponentName& component, const ConfigTree& other) {
    const auto found = other.components_.find(component);
    if (found != other.components_.end()) components_[component] = found->second;
  }
  // Values from after `now_ms` count as set at `to_ms`: what a clock that was ahead has stamped
  // must not shut out what comes later.
  void take_back_times(int64_t now_ms, int64_t to_ms);
  // The same for what stands at `key_path`, so that a value of `to_ms` replaces it.
  void take_back_times(const ComponentName& component, const KeyPath& key_path, int64_t to_ms);

  // Everything including timestamps; from_json(to_json()) equals the tree.
  nlohmann::json to_json() const;
  static Result<ConfigTree> from_json(const nlohmann::json& json, ConfigLimits limits = {});

  // The paths at which `after` reads differently from this tree (timestamps do not count).
  std::vector<std::pair<ComponentName, KeyPath>> differences(const ConfigTree& after) const;

  bool operator==(const ConfigTree&) const = default;

 private:
  struct KeyLess {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const;
  };
  struct Node {
    std::map<std::string, Node, KeyLess> children;
    std::string leaf;          // compact JSON text; empty in a map
    int64_t timestamp_ms = 0;  // of the leaf; of a map: when it was made
    bool operator==(const Node&) const = default;
  };
  class Merge;

  const Node* find(const ComponentName& component, const KeyPath& key_path) const;
  static void append_json(const Node& node, std::string& out);
  static size_t size_bytes(const Node& node);
  static int64_t newest_ms(const Node& node);
  static void take_back_times(Node& node, int64_t now_ms, int64_t to_ms);
  static nlohmann::json node_to_json(const Node& node);
  static Result<Node> node_from_json(const nlohmann::json& json, size_t depth_left);
  static void collect_differences(const Node* before, const Node* after, KeyPath& path,
                                  std::vector<KeyPath>& out);

  ConfigLimits limits_;
  std::map<ComponentName, Node> components_;
};

}  // namespace skerry::nucleus
