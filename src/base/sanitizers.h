// Whether this build looks at memory or threads, and so is many times slower, keeps what was freed
// for a while, and maps terabytes for itself.
#pragma once

namespace skerry {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKERRY_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SKERRY_SANITIZED
#endif
#endif
#ifdef SKERRY_SANITIZED
inline constexpr bool kIsSanitized = true;
#else
inline constexpr bool kIsSanitized = false;
#endif
#undef SKERRY_SANITIZED

}  // namespace skerry
