// Objects of C libraries that a function of theirs frees.
#pragma once

#include <memory>

namespace skerry {

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free_function(object);
  }
};
template <class T, auto free_function>
using Owned = std::unique_ptr<T, Free<free_function>>;

}  // namespace skerry
