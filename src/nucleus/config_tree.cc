// The merge rule and its neighbours: reading, resetting, limits, persistence and comparison.
#include "nucleus/config_tree.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/json_pointer.h"
#include "formats/json_ptr.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

unsigned char lower(char c) {
  return static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

std::string quoted(const std::string& key) {
  return formats::json_text(json(key));
}

struct Measure {
  size_t bytes = 0;
  size_t depth = 0;  // of nesting; stops counting above the limit
  const std::string* long_key = nullptr;
};

// Walks `value` no deeper than the limit, so that hostile nesting costs no stack.
void measure(const json& value, const ConfigLimits& limits, size_t depth, Measure& out) {
  out.depth = std::max(out.depth, depth);
  if (depth > limits.depth) return;
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) {
      out.bytes += key.size();
      if (key.size() > limits.key_bytes) out.long_key = &key;
      measure(child, limits, depth + 1, out);
    }
  } else if (value.is_array()) {
    out.bytes += 2 + value.size();
    for (const json& child : value) measure(child, limits, depth + 1, out);
  } else {
    out.bytes += formats::json_text(value).size();
  }
}

json nested(const KeyPath& path, json value) {
  for (size_t i = path.size(); i-- > 0;) value = json{{path[i], std::move(value)}};
  return value;
}

}  // namespace

bool ConfigTree::KeyLess::operator()(std::string_view a, std::string_view b) const {
  return std::ranges::lexicographical_compare(a, b,
                                              [](char x, char y) { return lower(x) < lower(y); });
}

// --- Reading ------------------------------------------------------------------------------------

const ConfigTree::Node* ConfigTree::find(const ComponentName& component,
                                         const KeyPath& key_path) const {
  const auto found = components_.find(component);
  if (found == components_.end()) return nullptr;
  const Node* node = &found->second;
  for (const std::string& key : key_path) {
    const auto child = node->children.find(key);
    if (child == node->children.end()) return nullptr;
    node = &child->second;
  }
  return node;
}

void ConfigTree::append_json(const Node& node, std::string& out) {
  if (!node.leaf.empty()) {
    out += node.leaf;
    return;
  }
  out += '{';
  bool first = true;
  for (const auto& [key, child] : node.children) {
    if (!first) out += ',';
    first = false;
    out += quoted(key);
    out += ':';
    append_json(child, out);
  }
  out += '}';
}

bool ConfigTree::append_json(const ComponentName& component, const KeyPath& key_path,
                             std::string& out) const {
  const Node* node = find(component, key_path);
  if (node) append_json(*node, out);
  return node != nullptr;
}

Result<json> ConfigTree::get(const ComponentName& component, const KeyPath& key_path) const {
  std::string text;
  if (!append_json(component, key_path, text)) {
    return fail(Code::kNotFound, "component " + component.str() + " has no configuration \"" +
                                     formats::json_pointer(key_path) + "\"");
  }
  return json::parse(text);
}

ConfigTree::Kind ConfigTree::kind(const ComponentName& component, const KeyPath& key_path) const {
  const Node* node = find(component, key_path);
  if (!node) return Kind::kAbsent;
  return node->leaf.empty() ? Kind::kMap : Kind::kLeaf;
}

std::vector<ComponentName> ConfigTree::components() const {
  std::vector<ComponentName> names;
  names.reserve(components_.size());
  for (const auto& [name, node] : components_) names.push_back(name);
  return names;
}

// --- Writing ------------------------------------------------------------------------------------

// Applies one value at one time below a node, and notes the paths that read differently afterwards.
class ConfigTree::Merge {
 public:
  explicit Merge(int64_t timestamp_ms) : timestamp_ms_(timestamp_ms) {}

  void into(Node& node, const json& value) {
    if (value.is_object() && node.leaf.empty()) {
      for (const auto& [key, child] : members(value)) {
        path_.push_back(key);
        const auto [found, is_new] = node.children.try_emplace(key);
        if (is_new) {
          fill(found->second, *child);
          changed_.push_back(path_);
        } else {
          into(found->second, *child);
        }
        path_.pop_back();
      }
    } else if (newest_ms(node) <= timestamp_ms_) {
      Node next;
      fill(next, value);
      if (next.leaf != node.leaf || node.leaf.empty()) changed_.push_back(path_);
      node = std::move(next);
    }
  }

  std::vector<KeyPath> take_changed() { return std::move(changed_); }

 private:
  void fill(Node& node, const json& value) {
    node = Node{};
    node.timestamp_ms = timestamp_ms_;
    if (!value.is_object()) {
      node.leaf = formats::json_text(value);
      return;
    }
    for (const auto& [key, child] : members(value)) fill(node.children[key], *child);
  }

  // Of keys in one object that differ only in case, the last one's value counts.
  static std::map<std::string, const json*, KeyLess> members(const json& object) {
    std::map<std::string, const json*, KeyLess> last;
    for (const auto& [key, child] : object.items()) last.insert_or_assign(key, &child);
    return last;
  }

  const int64_t timestamp_ms_;
  KeyPath path_;
  std::vector<KeyPath> changed_;
};

Result<void> ConfigTree::check(const ComponentName& component, const KeyPath& key_path,
                               const json& value, int64_t timestamp_ms) const {
  const auto refuse = [&](Code code, const std::string& why) {
    return fail(code, "configuration of " + component.str() + " at \"" +
                          formats::json_pointer(key_path) + "\": " + why);
  };
  if (key_path.empty() && !value.is_object()) {
    return refuse(Code::kInvalidArgument, "the whole configuration must be a JSON object");
  }
  Measure measured;
  measure(value, limits_, key_path.size(), measured);
  for (const std::string& key : key_path) {
    measured.bytes += key.size();
    if (key.size() > limits_.key_bytes) measured.long_key = &key;
  }
  if (measured.depth > limits_.depth) {
    return refuse(Code::kInvalidArgument,
                  "nested deeper than " + std::to_string(limits_.depth) + " levels");
  }
  if (measured.long_key) {
    return refuse(Code::kInvalidArgument, "the key \"" + measured.long_key->substr(0, 40) +
                                              "…\" is longer than " +
                                              std::to_string(limits_.key_bytes) + " bytes");
  }
  const Node* before = find(component, {});
  if ((before ? size_bytes(*before) : 0) + measured.bytes <= limits_.component_bytes) return {};
  // Close to the limit only trying tells: the value may replace another as large.
  Node after = before ? *before : Node{};
  Merge(timestamp_ms).into(after, nested(key_path, value));
  if (size_bytes(after) > limits_.component_bytes) {
    return refuse(Code::kResourceExhausted,
                  "with this change the component's configuration has " +
                      std::to_string(size_bytes(after)) + " bytes, at most " +
                      std::to_string(limits_.component_bytes) + " are allowed");
  }
  return {};
}

Result<std::vector<KeyPath>> ConfigTree::merge(const ComponentName& component,
                                               const KeyPath& key_path, const json& value,
                                               int64_t timestamp_ms) {
  SKERRY_TRY(check(component, key_path, value, timestamp_ms));
  const auto [found, is_new] = components_.try_emplace(component);
  if (is_new) found->second.timestamp_ms = timestamp_ms;
  Merge merge(timestamp_ms);
  merge.into(found->second, nested(key_path, value));
  return merge.take_changed();
}

Result<std::vector<KeyPath>> ConfigTree::apply_defaults(const ComponentName& component,
                                                        const json& defaults) {
  return merge(component, {}, defaults, kDefaultTimestampMs);
}

Result<std::vector<KeyPath>> ConfigTree::reset(const ComponentName& component,
                                               const std::vector<std::string>& pointers) {
  std::vector<KeyPath> paths;
  for (const std::string& pointer : pointers) {
    SKERRY_ASSIGN(KeyPath path, formats::parse_json_pointer(pointer));
    paths.push_back(std::move(path));
  }
  std::vector<KeyPath> removed;
  const auto found = components_.find(component);
  if (found == components_.end()) return removed;
  for (KeyPath& path : paths) {
    Node* parent = &found->second;
    for (size_t i = 0; parent && i + 1 < path.size(); ++i) {
      const auto child = parent->children.find(path[i]);
      parent = child == parent->children.end() ? nullptr : &child->second;
    }
    if (!parent) continue;
    if (path.empty()) {
      if (parent->children.empty()) continue;
      parent->children.clear();
    } else {
      const auto child = parent->children.find(path.back());
      if (child == parent->children.end()) continue;
      parent->children.erase(child);
    }
    removed.push_back(std::move(path));
  }
  return removed;
}

size_t ConfigTree::size_bytes(const Node& node) {
  size_t bytes = node.leaf.size();
  for (const auto& [key, child] : node.children) bytes += key.size() + size_bytes(child);
  return bytes;
}

int64_t ConfigTree::newest_ms(const Node& node) {
  int64_t newest = node.timestamp_ms;
  for (const auto& [key, child] : node.children) newest = std::max(newest, newest_ms(child));
  return newest;
}

void ConfigTree::take_back_times(Node& node, int64_t now_ms, int64_t to_ms) {
  if (node.timestamp_ms > now_ms) node.timestamp_ms = to_ms;
  for (auto& [key, child] : node.children) take_back_times(child, now_ms, to_ms);
}

void ConfigTree::take_back_times(int64_t now_ms, int64_t to_ms) {
  for (auto& [component, node] : components_) take_back_times(node, now_ms, to_ms);
}

void ConfigTree::take_back_times(const ComponentName& component, const KeyPath& key_path,
                                 int64_t to_ms) {
  const auto found = components_.find(component);
  if (found == components_.end()) return;
  Node* node = &found->second;
  for (const std::string& key : key_path) {
    if (!node->leaf.empty()) break;  // it is to become a map
    const auto child = node->children.find(key);
    if (child == node->children.end()) return;
    node = &child->second;
  }
  take_back_times(*node, to_ms, to_ms);
}

// --- Persistence and comparison -----------------------------------------------------------------

json ConfigTree::node_to_json(const Node& node) {
  if (!node.leaf.empty()) return {{"v", json::parse(node.leaf)}, {"t", node.timestamp_ms}};
  json children = json::object();
  for (const auto& [key, child] : node.children) children[key] = node_to_json(child);
  return {{"m", std::move(children)}, {"t", node.timestamp_ms}};
}

json ConfigTree::to_json() const {
  json all = json::object();
  for (const auto& [name, node] : components_) all[name.str()] = node_to_json(node);
  return all;
}

Result<ConfigTree::Node> ConfigTree::node_from_json(const json& value, size_t depth_left) {
  const auto corrupt = [](const char* why) {
    return fail(Code::kCorrupt, std::string("stored configuration: ") + why);
  };
  if (!value.is_object() || value.size() != 2) return corrupt("a node is no object of two members");
  const auto time = value.find("t");
  const auto leaf = value.find("v");
  const auto map = value.find("m");
  if (time == value.end() || !time->is_number_integer()) return corrupt("a node has no time");
  Node node;
  node.timestamp_ms = time->get<int64_t>();
  if (leaf != value.end()) {
    if (leaf->is_object()) return corrupt("a leaf holds a map");
    node.leaf = formats::json_text(*leaf);
    return node;
  }
  if (map == value.end() || !map->is_object()) return corrupt("a node is neither leaf nor map");
  if (depth_left == 0) return corrupt("nested too deep");
  for (const auto& [key, child] : map->items()) {
    SKERRY_ASSIGN(node.children[key], node_from_json(child, depth_left - 1));
  }
  return node;
}

Result<ConfigTree> ConfigTree::from_json(const json& value, ConfigLimits limits) {
  if (!value.is_object()) return fail(Code::kCorrupt, "stored configuration: not a JSON object");
  ConfigTree tree(limits);
  for (const auto& [name, node] : value.items()) {
    SKERRY_ASSIGN(tree.components_[ComponentName(name)], node_from_json(node, limits.depth));
  }
  return tree;
}

void ConfigTree::collect_differences(const Node* before, const Node* after, KeyPath& path,
                                     std::vector<KeyPath>& out) {
  if (!before || !after || before->leaf != after->leaf) {
    out.push_back(path);
    return;
  }
  const auto compare_child = [&](const std::string& key, const Node* a, const Node* b) {
    path.push_back(key);
    collect_differences(a, b, path, out);
    path.pop_back();
  };
  for (const auto& [key, child] : before->children) {
    const auto other = after->children.find(key);
    compare_child(key, &child, other == after->children.end() ? nullptr : &other->second);
  }
  for (const auto& [key, child] : after->children) {
    if (!before->children.contains(key)) compare_child(key, nullptr, &child);
  }
}

std::vector<std::pair<ComponentName, KeyPath>> ConfigTree::differences(
    const ConfigTree& after) const {
  std::set<ComponentName> names;
  for (const auto& [name, node] : components_) names.insert(name);
  for (const auto& [name, node] : after.components_) names.insert(name);
  std::vector<std::pair<ComponentName, KeyPath>> all;
  for (const ComponentName& name : names) {
    KeyPath path;
    std::vector<KeyPath> paths;
    collect_differences(find(name, {}), after.find(name, {}), path, paths);
    for (KeyPath& changed : paths) all.emplace_back(name, std::move(changed));
  }
  return all;
}

}  // namespace skerry::nucleus
