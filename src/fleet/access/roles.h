// Who asks for something, and how much they may do.
#pragma once

#include <string>
#include <string_view>

namespace skerry::fleet {

// Each may do what the one before it may, and more.
enum class Role {
  kViewer,    // reads
  kDeployer,  // components, groups, deployments, models
  kAdmin      // devices and their certificates, access keys, operators; reads the audit log
};

// "viewer", "deployer", "admin"
std::string_view to_string(Role role);
bool parse(std::string_view text, Role& role);  // false where `text` is no such name

// A person at the console, or a program with an access key.
struct Identity {
  std::string name;
  Role role = Role::kViewer;
  std::string via;  // "console", or the access key's id
};

}  // namespace skerry::fleet
