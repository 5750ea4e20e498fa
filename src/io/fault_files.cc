// FaultFiles: a tree of nodes, each with the content and names that programs see, the durable ones,
// and the changes that lie between.
#include "io/fault_files.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

namespace skerry::io {
namespace {

constexpr size_t kSectorBytes = 512;  // the piece that a disk writes whole or not at all

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    std::string part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

// A change of a file's content that is not durable yet.
struct ContentChange {
  bool truncates = false;
  uint64_t offset = 0;  // where `bytes` go, or the new size
  std::string bytes;

  void apply(std::string& content) const {
    if (truncates) {
      content.resize(offset);
    } else {
      if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
      content.replace(offset, bytes.size(), bytes);
    }
  }
};

// Of each sector that `change` touches, its part is written, left out, or (seldom) garbage.
void apply_torn(const ContentChange& change, std::string& content, Random& random) {
  if (change.truncates) {
    if (random.below(2)) change.apply(content);
    return;
  }
  const size_t end = change.offset + change.bytes.size();
  for (size_t at = change.offset; at < end;) {
    const size_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    ContentChange piece{.offset = at, .bytes = change.bytes.substr(at - change.offset, next - at)};
    const uint64_t fate = random.below(8);
    if (fate == 0) random.fill(piece.bytes.data(), piece.bytes.size());
    if (fate < 4) piece.apply(content);
    at = next;
  }
}

std::string surviving_content(std::string content, const std::vector<ContentChange>& changes,
                              CrashPolicy policy, Random& random) {
  size_t kept = policy == CrashPolicy::kKeepAll ? changes.size() : 0;
  const bool reordered = policy == CrashPolicy::kSeeded && random.below(2);
  if (policy == CrashPolicy::kSeeded && !reordered) kept = random.below(changes.size() + 1);
  for (size_t i = 0; i < changes.size(); ++i) {
    if (i < kept) {
      changes[i].apply(content);
    } else if (reordered) {
      apply_torn(changes[i], content, random);
    } else if (i == kept && policy == CrashPolicy::kSeeded && !changes[i].truncates) {
      // The power went in the middle of this one.
      ContentChange prefix = changes[i];
      prefix.bytes.resize(random.below(prefix.bytes.size() + 1));
      prefix.apply(content);
    }
  }
  return content;
}

}  // namespace

struct FaultFiles::Node {
  bool is_directory = false;
  uint32_t mode = 0, uid = 0, gid = 0;
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  std::string content, durable_content;
  std::vector<ContentChange> unsynced;
  Entries entries, durable_entries;

  void change(ContentChange change) {
    change.apply(content);
    unsynced.push_back(std::move(change));
  }
  void make_durable() {
    for (const ContentChange& change : unsynced) change.apply(durable_content);
    unsynced.clear();
  }
};

class FaultFiles::OpenFile : public File {
 public:
  OpenFile(FaultFiles& files, NodePtr node, std::string path, bool writable)
      : files_(files),
        node_(std::move(node)),
        path_(std::move(path)),
        writable_(writable),
        boot_(files.boots_) {}

  Result<void> write(std::string_view bytes) override {
    SKERRY_TRY(usable("write", true));
    const auto error = files_.begin("write", path_);
    size_t take = error ? bytes.size() / 2 : bytes.size();
    const uint64_t used = files_.used_bytes();
    const uint64_t room = files_.capacity_ - std::min(used, files_.capacity_);
    const bool full = take > room;
    if (full) take = static_cast<size_t>(room);
    node_->change({.offset = node_->content.size(), .bytes = std::string(bytes.substr(0, take))});
    node_->modified_ns = files_.next_change_ns_++;
    if (error) return fail(*error);
    if (full) return fail(errno_error("write", path_, ENOSPC));
    return files_.alive();
  }

  Result<std::string> read_at(uint64_t offset, size_t size) override {
    SKERRY_TRY(usable("read", false));
    if (offset >= node_->content.size()) return std::string();
    return node_->content.substr(offset, size);
  }
  Result<uint64_t> size() override {
    SKERRY_TRY(usable("stat", false));
    return node_->content.size();
  }
  Result<void> truncate(uint64_t size) override {
    SKERRY_TRY(usable("truncate", true));
    if (auto error = files_.begin("truncate", path_)) return fail(*error);
    node_->change({.truncates = true, .offset = size, .bytes = {}});
    node_->modified_ns = files_.next_change_ns_++;
    return files_.alive();
  }
  Result<void> sync() override {
    SKERRY_TRY(usable("fsync", false));
    if (auto error = files_.begin("sync", path_)) {
      node_->unsynced.clear();  // the kernel takes the pages for written: they never will be
      return fail(*error);
    }
    SKERRY_TRY(files_.alive());
    node_->make_durable();
    return {};
  }

 private:
  Result<void> usable(std::string_view what, bool writes) const {
    SKERRY_TRY(files_.alive());
    if (boot_ != files_.boots_) return fail(errno_error(what, path_, EBADF));
    if (writes && !writable_) return fail(errno_error(what, path_, EBADF));
    return {};
  }

  FaultFiles& files_;
  NodePtr node_;
  std::string path_;
  bool writable_;
  uint64_t boot_;
};

FaultFiles::FaultFiles() : root_(std::make_shared<Node>()) {
  root_->is_directory = true;
  root_->mode = 0755;
}

// Faults and bookkeeping.

std::optional<Error> FaultFiles::begin(std::string name, const std::string& path) {
  const size_t number = operations_.size();
  operations_.push_back({std::move(name), path});
  if (crash_at_ == number) crashed_ = true;
  if (fault_ && (number == fault_->number || (fault_->persists && number > fault_->number))) {
    return errno_error(operations_.back().name, path, fault_->errno_value);
  }
  return std::nullopt;
}

Result<void> FaultFiles::alive() const {
  if (crashed_) return fail(Code::kInternal, "crashed");
  return {};
}

uint64_t FaultFiles::used_bytes() const {
  uint64_t sum = 0;
  std::vector<const Node*> nodes{root_.get()};
  while (!nodes.empty()) {
    const Node* node = nodes.back();
    nodes.pop_back();
    sum += node->content.size();
    for (const auto& [name, child] : node->entries) nodes.push_back(child.get());
  }
  return sum;
}

// Names.

Result<FaultFiles::NodePtr> FaultFiles::find(const std::string& path, std::string_view what) const {
  SKERRY_TRY(alive());
  NodePtr node = root_;
  for (const std::string& part : parts_of(path)) {
    if (!node->is_directory) return fail(errno_error(what, path, ENOTDIR));
    auto entry = node->entries.find(part);
    if (entry == node->entries.end()) return fail(errno_error(what, path, ENOENT));
    node = entry->second;
  }
  return node;
}

Result<FaultFiles::Place> FaultFiles::place_of(const std::string& path,
                                               std::string_view what) const {
  SKERRY_TRY(alive());
  std::vector<std::string> parts = parts_of(path);
  if (parts.empty()) return fail(errno_error(what, path, EBUSY));  // the root itself
  std::string parent;
  for (size_t i = 0; i + 1 < parts.size(); ++i) parent += "/" + parts[i];
  SKERRY_ASSIGN(NodePtr directory, find(parent, what));
  if (!directory->is_directory) return fail(errno_error(what, path, ENOTDIR));
  return Place{std::move(directory), std::move(parts.back())};
}

void FaultFiles::NameChange::apply(Entries Node::* entries) const {
  Entries& names = directory.get()->*entries;
  if (old_directory) {
    Entries& old_names = old_directory.get()->*entries;
    auto old = old_names.find(old_name);
    if (old != old_names.end() && old->second == node) old_names.erase(old);
  }
  if (!removes) {
    names[name] = node;
  } else if (auto entry = names.find(name); entry != names.end() && entry->second == node) {
    names.erase(entry);
  }
}

void FaultFiles::change_name(NameChange change) {
  change.apply(&Node::entries);
  unsynced_.push_back(std::move(change));
}

// Splits off the changes that `chosen` picks. An earlier change of the same node goes with a later
// one: no file system renames what it has not created.
std::vector<FaultFiles::NameChange> FaultFiles::take_changes(
    const std::function<bool(const NameChange&)>& chosen) {
  std::set<const Node*> needed;
  std::vector<NameChange> taken, left;
  for (auto change = unsynced_.rbegin(); change != unsynced_.rend(); ++change) {
    if (chosen(*change)) needed.insert(change->node.get());
    (needed.contains(change->node.get()) ? taken : left).push_back(*change);
  }
  std::ranges::reverse(taken);
  std::ranges::reverse(left);
  unsynced_ = std::move(left);
  return taken;
}

void FaultFiles::reboot(CrashPolicy policy, uint64_t seed) {
  SeededRandom random(seed);
  const uint64_t style = random.below(3);  // all-or-nothing, a prefix, each by itself
  const uint64_t limit = random.below(unsynced_.size() + 1);
  const bool all = random.below(2) != 0;
  uint64_t index = 0;
  auto survives = [&](const NameChange&) {
    // Changes are asked from the last to the first.
    const uint64_t number = unsynced_.size() - ++index;
    if (policy != CrashPolicy::kSeeded) return policy == CrashPolicy::kKeepAll;
    if (style == 0) return all;
    return style == 1 ? number < limit : random.below(2) != 0;
  };
  for (const NameChange& change : take_changes(survives)) change.apply(&Node::durable_entries);
  unsynced_.clear();

  std::vector<Node*> nodes{root_.get()};
  while (!nodes.empty()) {
    Node* node = nodes.back();
    nodes.pop_back();
    node->entries = node->durable_entries;
    node->durable_content =
        surviving_content(std::move(node->durable_content), node->unsynced, policy, random);
    node->content = node->durable_content;
    node->unsynced.clear();
    for (const auto& [name, child] : node->entries) nodes.push_back(child.get());
  }
  crash_at_.reset();
  crashed_ = false;
  ++boots_;
}

// The interface.

Result<std::unique_ptr<File>> FaultFiles::open(const std::string& path, OpenMode open_mode,
                                               uint32_t mode) {
  SKERRY_ASSIGN(Place place, place_of(path, "open"));
  auto entry = place.directory->entries.find(place.name);
  NodePtr node;
  if (entry != place.directory->entries.end()) {
    node = entry->second;
    if (node->is_directory && open_mode != OpenMode::kRead) {
      return fail(errno_error("open", path, EISDIR));
    }
    if (open_mode == OpenMode::kTruncate) {
      if (auto error = begin("empty", path)) return fail(*error);
      node->change({.truncates = true, .offset = 0, .bytes = {}});
      node->modified_ns = next_change_ns_++;
      node->mode = mode;
    }
  } else {
    if (open_mode == OpenMode::kRead) return fail(errno_error("open", path, ENOENT));
    if (auto error = begin("create", path)) return fail(*error);
    node = std::make_shared<Node>();
    node->mode = mode;
    node->inode = next_inode_++;
    node->modified_ns = next_change_ns_++;
    change_name({.directory = place.directory, .name = place.name, .node = node});
  }
  SKERRY_TRY(alive());
  return std::make_unique<OpenFile>(*this, std::move(node), path, open_mode != OpenMode::kRead);
}

Result<FileInfo> FaultFiles::stat(const std::string& path) {
  SKERRY_ASSIGN(NodePtr node, find(path, "stat"));
  FileInfo info;
  info.is_directory = node->is_directory;
  info.is_regular = !node->is_directory;
  info.size_bytes = node->content.size();
  info.mode = node->mode;
  info.uid = node->uid;
  info.gid = node->gid;
  info.inode = node->inode;
  info.modified_ns = node->modified_ns;
  return info;
}

Result<std::vector<std::string>> FaultFiles::list(const std::string& directory) {
  SKERRY_ASSIGN(NodePtr node, find(directory, "list"));
  if (!node->is_directory) return fail(errno_error("list", directory, ENOTDIR));
  std::vector<std::string> names;
  for (const auto& [name, child] : node->entries) names.push_back(name);
  return names;
}

Result<void> FaultFiles::make_directory(const std::string& path, uint32_t mode) {
  SKERRY_ASSIGN(Place place, place_of(path, "mkdir"));
  auto entry = place.directory->entries.find(place.name);
  if (entry != place.directory->entries.end()) {
    if (entry->second->is_directory) return {};
    return fail(errno_error("mkdir", path, EEXIST));
  }
  if (auto error = begin("mkdir", path)) return fail(*error);
  auto node = std::make_shared<Node>();
  node->is_directory = true;
  node->mode = mode;
  node->inode = next_inode_++;
  change_name({.directory = place.directory, .name = place.name, .node = node});
  return alive();
}

Result<void> FaultFiles::rename(const std::string& from, const std::string& to) {
  const std::string both = from + " to " + to;
  SKERRY_ASSIGN(Place old_place, place_of(from, "rename"));
  SKERRY_ASSIGN(Place place, place_of(to, "rename"));
  SKERRY_ASSIGN(NodePtr node, find(from, "rename"));
  auto target = place.directory->entries.find(place.name);
  if (target != place.directory->entries.end()) {
    const NodePtr& other = target->second;
    if (other == node) return {};
    if (other->is_directory && !node->is_directory)
      return fail(errno_error("rename", both, EISDIR));
    if (!other->is_directory && node->is_directory)
      return fail(errno_error("rename", both, ENOTDIR));
    if (!other->entries.empty()) return fail(errno_error("rename", both, ENOTEMPTY));
  }
  if (to.starts_with(from + "/")) return fail(errno_error("rename", both, EINVAL));  // into itself
  if (auto error = begin("rename", both)) return fail(*error);
  change_name({.directory = place.directory,
               .name = place.name,
               .node = node,
               .old_directory = old_place.directory,
               .old_name = old_place.name});
  return alive();
}

Result<void> FaultFiles::remove(const std::string& path) {
  SKERRY_ASSIGN(Place place, place_of(path, "remove"));
  SKERRY_ASSIGN(NodePtr node, find(path, "remove"));
  if (!node->entries.empty()) return fail(errno_error("remove", path, ENOTEMPTY));
  if (auto error = begin("remove", path)) return fail(*error);
  change_name({.directory = place.directory, .name = place.name, .node = node, .removes = true});
  return alive();
}

// One operation for each name, from the leaves up, as the real one does.
Result<void> FaultFiles::remove_tree(const std::string& path) {
  SKERRY_ASSIGN(NodePtr node, find(path, "remove"));
  while (!node->entries.empty()) {
    SKERRY_TRY(remove_tree(path + "/" + node->entries.begin()->first));
  }
  return remove(path);
}

Result<void> FaultFiles::set_mode(const std::string& path, uint32_t mode) {
  SKERRY_ASSIGN(NodePtr node, find(path, "chmod"));
  if (auto error = begin("chmod", path)) return fail(*error);
  node->mode = mode;
  return alive();
}

Result<void> FaultFiles::set_owner(const std::string& path, uint32_t uid, uint32_t gid) {
  SKERRY_ASSIGN(NodePtr node, find(path, "chown"));
  if (auto error = begin("chown", path)) return fail(*error);
  node->uid = uid;
  node->gid = gid;
  return alive();
}

Result<void> FaultFiles::hand_over(const std::string& path, uint32_t from, uint32_t uid,
                                   uint32_t gid) {
  SKERRY_ASSIGN(NodePtr node, find(path, "hand over"));
  if (node->uid == from) SKERRY_TRY(set_owner(path, uid, gid));
  for (const auto& [name, child] : Entries(node->entries)) {
    SKERRY_TRY(hand_over(path + "/" + name, from, uid, gid));
  }
  return {};
}

Result<void> FaultFiles::sync_directory(const std::string& path) {
  SKERRY_ASSIGN(NodePtr node, find(path, "open"));
  if (!node->is_directory) return fail(errno_error("open", path, ENOTDIR));
  if (auto error = begin("sync directory", path)) return fail(*error);
  SKERRY_TRY(alive());
  auto concerns = [&](const NameChange& change) {
    return change.directory == node || change.old_directory == node;
  };
  for (const NameChange& change : take_changes(concerns)) change.apply(&Node::durable_entries);
  return {};
}

Result<uint64_t> FaultFiles::free_bytes(const std::string& path) {
  SKERRY_TRY(find(path, "statvfs"));
  return capacity_ - std::min(used_bytes(), capacity_);
}

}  // namespace skerry::io
