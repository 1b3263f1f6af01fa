/** Asks the kernel about BPF programs. */
#include "bpf-programs.h"

#include <algorithm>
#include <bpf/btf.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <linux/bpf.h>
#include <optional>
#include <sys/syscall.h>
#include <unistd.h>

#include "byte-source.h"

namespace hotspan::symbols {
namespace {

// For a host with absurdly many programs: those beyond it have no names.
constexpr int maxPrograms = 10'000;
/** Of one program: the verifier allows 256. */
constexpr uint32_t maxFunctions = 1024;

struct FreeBtf {
    void operator()(btf *types) const { btf__free(types); }
};
using Btf = std::unique_ptr<btf, FreeBtf>;

template <typename T> uint64_t addressOf(std::vector<T> &values) {
    return reinterpret_cast<uint64_t>(values.data());
}

long callBpf(int command, bpf_attr &attribute) {
    return syscall(SYS_bpf, command, &attribute, sizeof attribute);
}

std::vector<uint32_t> listIds() {
    std::vector<uint32_t> ids;
    bpf_attr attribute;
    for (uint32_t id = 0; ids.size() < maxPrograms; ids.push_back(id)) {
        memset(&attribute, 0, sizeof attribute);
        attribute.start_id = id;
        if (callBpf(BPF_PROG_GET_NEXT_ID, attribute) != 0) {
            break;
        }
        id = attribute.next_id;
    }
    return ids;
}

bool readInfo(int fd, bpf_prog_info &info) {
    bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.info.bpf_fd = static_cast<uint32_t>(fd);
    attribute.info.info_len = sizeof info;
    attribute.info.info = reinterpret_cast<uint64_t>(&info);
    return callBpf(BPF_OBJ_GET_INFO_BY_FD, attribute) == 0;
}

/** Programs of one object share their types: they are read once for all that are new. */
class TypeNames {
  public:
    /** Of the function with this type; null where it has no name. */
    const char *of(uint32_t btfId, uint32_t typeId) {
        auto [place, isNew] = types_.try_emplace(btfId);
        if (isNew && btfId != 0) {
            place->second.reset(btf__load_from_kernel_by_id(btfId));
        }
        const btf_type *type = place->second ? btf__type_by_id(place->second.get(), typeId) : nullptr;
        const char *name = type ? btf__name_by_offset(place->second.get(), type->name_off) : nullptr;
        return name != nullptr && name[0] != 0 ? name : nullptr;
    }

  private:
    std::unordered_map<uint32_t, Btf> types_;
};

/** As the kernel makes it (kernel/bpf/core.c, bpf_get_prog_name): "bpf_prog_", the code's tag, and the function's name
 * where it has one. */
std::string nameOf(const uint8_t *tag, const char *function) {
    std::string name = "bpf_prog_";
    char digits[3];
    for (size_t i = 0; i < BPF_TAG_SIZE; i++) {
        snprintf(digits, sizeof digits, "%02x", tag[i]);
        name += digits;
    }
    return function == nullptr || function[0] == 0 ? name : name + "_" + function;
}

/** Nothing where the kernel does not let it be known; no functions where the program is gone, or is not compiled. */
std::optional<std::vector<BpfFunction>> readProgram(uint32_t id, TypeNames &types) {
    std::vector<BpfFunction> functions;
    bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.prog_id = id;
    UniqueFd fd(static_cast<int>(callBpf(BPF_PROG_GET_FD_BY_ID, attribute)));
    if (!fd) {
        return errno == ENOENT ? std::optional(functions) : std::nullopt;
    }
    bpf_prog_info counts{};
    if (!readInfo(fd.get(), counts)) {
        return std::nullopt;
    }
    uint32_t count = std::min(counts.nr_jited_ksyms, maxFunctions);
    uint32_t recordBytes = counts.func_info_rec_size;
    bool hasNames = counts.nr_func_info == counts.nr_jited_ksyms && recordBytes >= sizeof(bpf_func_info);
    std::vector<uint64_t> addresses(count);
    std::vector<uint32_t> sizes(count);
    std::vector<uint8_t> tags(size_t{count} * BPF_TAG_SIZE), records(hasNames ? size_t{count} * recordBytes : 0);
    bpf_prog_info info{};
    info.nr_jited_ksyms = info.nr_jited_func_lens = info.nr_prog_tags = count;
    info.jited_ksyms = addressOf(addresses);
    info.jited_func_lens = addressOf(sizes);
    info.prog_tags = addressOf(tags);
    if (hasNames) {
        info.nr_func_info = count;
        info.func_info_rec_size = recordBytes;
        info.func_info = addressOf(records);
    }
    if (count != 0 && !readInfo(fd.get(), info)) {
        return std::nullopt;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (addresses[i] == 0) {
            return std::nullopt;
        }
        const char *name = i == 0 ? info.name : "F";
        if (hasNames) {
            bpf_func_info record;
            memcpy(&record, records.data() + size_t{i} * recordBytes, sizeof record);
            const char *own = types.of(info.btf_id, record.type_id);
            name = own != nullptr ? own : name;
        }
        // The first one is listed with the tag of the whole program.
        const uint8_t *tag = i == 0 ? info.tag : tags.data() + size_t{i} * BPF_TAG_SIZE;
        functions.push_back({addresses[i], sizes[i], nameOf(tag, name)});
    }
    return functions;
}

} // namespace

BpfFunctions::BpfFunctions(std::vector<BpfFunction> functions) : functions_(std::move(functions)) {
    std::sort(functions_.begin(), functions_.end(),
              [](const BpfFunction &a, const BpfFunction &b) { return a.address < b.address; });
}

const BpfFunction *BpfFunctions::find(uint64_t address) const {
    auto after = std::upper_bound(functions_.begin(), functions_.end(), address,
                                  [](uint64_t at, const BpfFunction &function) { return at < function.address; });
    if (after == functions_.begin()) {
        return nullptr;
    }
    const BpfFunction &function = *(after - 1);
    return address - function.address < function.sizeBytes ? &function : nullptr;
}

size_t BpfFunctions::bytes() const {
    size_t bytes = functions_.capacity() * sizeof(BpfFunction);
    for (const BpfFunction &function : functions_) {
        bytes += function.name.capacity();
    }
    return bytes;
}

bool BpfPrograms::refresh() {
    std::vector<uint32_t> ids = listIds();
    bool isSame = ids.size() == byId_.size() &&
                  std::all_of(ids.begin(), ids.end(), [this](uint32_t id) { return byId_.contains(id); });
    if (isSame && functions_) {
        return false;
    }
    std::unordered_map<uint32_t, std::vector<BpfFunction>> byId;
    std::vector<BpfFunction> all;
    TypeNames types;
    for (uint32_t id : ids) {
        auto known = byId_.find(id);
        if (known != byId_.end()) {
            byId.insert(byId_.extract(known));
        } else if (std::optional<std::vector<BpfFunction>> functions = readProgram(id, types)) {
            byId.emplace(id, std::move(*functions));
        } else {
            areKnown_ = false;
            byId.emplace(id, std::vector<BpfFunction>{});
        }
        const std::vector<BpfFunction> &own = byId[id];
        all.insert(all.end(), own.begin(), own.end());
    }
    byId_ = std::move(byId);
    functions_ = std::make_shared<const BpfFunctions>(std::move(all));
    return true;
}

} // namespace hotspan::symbols
