// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "os/spin_lock.h"
#include "os/symbols.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// A file that is mapped, and where its symbols are in it. Whatever the file says of itself is
// checked against its size.
//
// A library may be unloaded, another one get its link_map, and it come back with another one; and
// its file may be replaced while it is loaded. So an image is known by its path and the head of
// what is loaded, where each build has a number of its own, and a file with another head is not its
// file.
struct Image {
  std::uint64_t path = 0;  // as a hash
  std::uint64_t head = 0;
  const link_map* map = nullptr;  // when its file was looked at
  const char* start = nullptr;
  std::size_t size = 0;
  const ElfW(Sym) * symbols = nullptr;
  std::size_t count = 0;
  const char* names = nullptr;
  std::size_t names_size = 0;

  template <class T>
  [[nodiscard]] const T* at(std::size_t offset, std::size_t number) const noexcept {
    bool const inside =
        offset <= size && number <= (size - offset) / sizeof(T) && offset % alignof(T) == 0;
    return inside ? reinterpret_cast<const T*>(start + offset) : nullptr;
  }
};

constexpr std::size_t kImages = 64;
constexpr std::size_t kHead = 1024;  // has the program headers and the build id
constinit Image g_images[kImages];
constinit std::size_t g_image_count = 0;
constinit SpinLock g_lock;

std::uint64_t hash_of(const void* start, std::size_t size) noexcept {
  constexpr std::uint64_t kPrime = 0x100000001B3;
  std::uint64_t hash = 0xCBF29CE484222325;
  for (std::size_t i = 0; i < size; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(start)[i]) * kPrime;
  }
  return hash;
}

std::uint64_t hash_of_head(const void* start) noexcept { return hash_of(start, kHead); }

void map_file(Image& image, const char* path) noexcept {
  int const file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return;
  }
  struct stat status {};
  if (fstat(file, &status) == 0 && status.st_size >= static_cast<off_t>(kHead)) {
    auto const size = static_cast<std::size_t>(status.st_size);
    void* const start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (start != MAP_FAILED && hash_of_head(start) == image.head) {
      image.start = static_cast<const char*>(start);
      image.size = size;
    } else if (start != MAP_FAILED) {
      munmap(start, size);
    }
  }
  close(file);
}

void find_table(Image& image) noexcept {
  const auto* head = image.at<ElfW(Ehdr)>(0, 1);
  if (head == nullptr || std::memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
      head->e_ident[EI_CLASS] != (sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32) ||
      head->e_shentsize != sizeof(ElfW(Shdr))) {
    return;
  }
  const auto* sections = image.at<ElfW(Shdr)>(head->e_shoff, head->e_shnum);
  for (std::size_t i = 0; sections != nullptr && i < head->e_shnum; ++i) {
    const ElfW(Shdr)& table = sections[i];
    if (table.sh_type != SHT_SYMTAB || table.sh_link >= head->e_shnum) {
      continue;
    }
    const ElfW(Shdr)& names = sections[table.sh_link];
    std::size_t const count = table.sh_size / sizeof(ElfW(Sym));
    image.symbols = image.at<ElfW(Sym)>(table.sh_offset, count);
    image.names = image.at<char>(names.sh_offset, names.sh_size);
    image.names_size = names.sh_size;
    // A name must not run beyond its table.
    if (image.names != nullptr && names.sh_size != 0 && image.names[names.sh_size - 1] == '\0') {
      image.count = image.symbols != nullptr ? count : 0;
    }
    return;
  }
}

// Under g_lock. Null: there are too many. What has been mapped stays so: its names may be in use.
const Image* image_of(const link_map* map, const void* base, const char* path) noexcept {
  std::uint64_t const head = hash_of_head(base);
  std::uint64_t const name = hash_of(path, std::strlen(path));
  std::size_t place = g_image_count;
  for (std::size_t i = 0; i < g_image_count; ++i) {
    if (g_images[i].path != name) {
      continue;
    }
    if (g_images[i].head == head) {
      if (g_images[i].start != nullptr || g_images[i].map == map) {
        return &g_images[i];
      }
      place = i;  // its file was another one's
      break;
    }
    place = g_image_count < kImages ? place : i;  // a former build goes for this one
  }
  if (place == kImages) {
    return nullptr;
  }
  g_image_count = std::max(g_image_count, place + 1);
  Image& image = g_images[place];
  image = Image{};
  image.path = name;
  image.head = head;
  image.map = map;
  map_file(image, path);
  find_table(image);
  return &image;
}

// `address` as the file has it. The innermost function that it is in.
const char* name_in(const Image& image, std::uintptr_t address, unsigned kind,
                    std::uintptr_t* start = nullptr) noexcept {
  const char* name = nullptr;
  std::uintptr_t best = 0;
  for (std::size_t i = 0; i < image.count; ++i) {
    const ElfW(Sym)& symbol = image.symbols[i];
    if ((symbol.st_info & 0xFU) == kind && symbol.st_shndx != SHN_UNDEF &&
        symbol.st_value <= address && address - symbol.st_value < symbol.st_size &&
        symbol.st_value >= best && symbol.st_name < image.names_size) {
      best = symbol.st_value;
      name = image.names + symbol.st_name;
    }
  }
  if (start != nullptr) {
    *start = best;
  }
  return name;
}

}  // namespace

Symbol find_symbol(const void* address) noexcept {
  Symbol found;
  Dl_info info{};
  link_map* map = nullptr;
  if (dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) {
    return found;
  }
  found.name = info.dli_sname;
  found.file = info.dli_fname;
  found.offset = static_cast<const char*>(address) - static_cast<const char*>(info.dli_fbase);
  if (map == nullptr) {
    return found;
  }
  // The program itself has no name here, and none that could be trusted elsewhere.
  bool const program = map->l_name == nullptr || *map->l_name == '\0';
  if (!g_lock.try_lock_patiently()) {
    return found;
  }
  std::lock_guard const guard(g_lock, std::adopt_lock);
  const Image* const image =
      image_of(map, info.dli_fbase, program ? "/proc/self/exe" : map->l_name);
  const char* const name =
      image == nullptr
          ? nullptr
          : name_in(*image, reinterpret_cast<std::uintptr_t>(address) - map->l_addr, STT_FUNC);
  if (name != nullptr) {
    found.name = name;
  }
  return found;
}

std::string find_object(const void* address) {
  Dl_info info{};
  link_map* map = nullptr;
  if (dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 ||
      map == nullptr) {
    return {};
  }
  const char* name = nullptr;
  std::uintptr_t start = 0;
  auto const at = reinterpret_cast<std::uintptr_t>(address) - map->l_addr;
  {
    if (!g_lock.try_lock_patiently()) {
      return {};
    }
    std::lock_guard const guard(g_lock, std::adopt_lock);
    bool const program = map->l_name == nullptr || *map->l_name == '\0';
    const Image* const image =
        image_of(map, info.dli_fbase, program ? "/proc/self/exe" : map->l_name);
    name = image != nullptr ? name_in(*image, at, STT_OBJECT, &start) : nullptr;
  }
  if (name == nullptr) {
    return {};
  }
  // C's are not mangled: the type that "m" would be is none.
  char* const readable = std::strncmp(name, "_Z", 2) == 0
                             ? abi::__cxa_demangle(name, nullptr, nullptr, nullptr)
                             : nullptr;
  std::string text = readable != nullptr ? readable : name;
  std::free(readable);
  return at == start ? text : text + "+" + std::to_string(at - start);
}

void hold_symbols() noexcept { g_lock.lock(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
