// Reads section headers: System V ABI, chapter 4.
#include "compile/object_sizes.h"

#include <elf.h>

#include <cstring>

namespace skerry::compile {
namespace {

template <class T>
Result<T> read_at(std::string_view object, uint64_t offset) {
  T value;
  if (offset > object.size() || object.size() - offset < sizeof value) {
    return fail(Code::kCorrupt, "an object file ends before its sections");
  }
  std::memcpy(&value, object.data() + offset, sizeof value);
  return value;
}

std::string_view name_at(std::string_view object, const Elf64_Shdr& names, uint64_t at) {
  if (names.sh_offset > object.size() || at >= object.size() - names.sh_offset) return {};
  const std::string_view rest = object.substr(names.sh_offset + at);
  return rest.substr(0, rest.find('\0'));
}

}  // namespace

ObjectSizes& ObjectSizes::operator+=(const ObjectSizes& other) {
  code += other.code;
  read_only += other.read_only;
  relocated += other.relocated;
  writable += other.writable;
  return *this;
}

Result<ObjectSizes> object_sizes(std::string_view object) {
  SKERRY_ASSIGN(const auto header, read_at<Elf64_Ehdr>(object, 0));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) {
    return fail(Code::kCorrupt, "no ELF object file of 64 bits");
  }
  const auto section = [&](uint64_t index) {
    return read_at<Elf64_Shdr>(object, header.e_shoff + index * sizeof(Elf64_Shdr));
  };
  SKERRY_ASSIGN(const Elf64_Shdr names, section(header.e_shstrndx));
  ObjectSizes sizes;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    SKERRY_ASSIGN(const Elf64_Shdr each, section(i));
    if ((each.sh_flags & SHF_ALLOC) == 0) continue;
    const std::string_view name = name_at(object, names, each.sh_name);
    if (name.starts_with(".rodata.skerry")) continue;
    size_t& kind = (each.sh_flags & SHF_EXECINSTR) != 0 ? sizes.code
                   : (each.sh_flags & SHF_WRITE) == 0   ? sizes.read_only
                   : name.starts_with(".data.rel.ro")   ? sizes.relocated
                                                        : sizes.writable;
    kind += each.sh_size;
  }
  return sizes;
}

}  // namespace skerry::compile
