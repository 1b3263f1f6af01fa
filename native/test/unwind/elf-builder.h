// Small ELF files in memory, around sections that a test or the fuzzer made up. Their code is all zeros, and lies on
// both sides of the border between two pages of a table.
#pragma once

#include <cstdint>
#include <cstring>
#include <elf.h>
#include <string>
#include <vector>

constexpr uint64_t codeAddress = (1 << 20) - (1 << 14);
constexpr uint64_t codeBytes = 1 << 15;
constexpr size_t fileOffsetOfCode = 4096;
/** Of the first section given; the others follow, each at a multiple of 16. */
constexpr uint64_t dataAddress = codeAddress + codeBytes;

struct MadeSection {
    std::string name;
    std::string bytes;
    uint64_t flags = SHF_ALLOC;
};

/** One executable segment of `codeBytes` zeros, one of data that holds the sections. */
inline std::string makeElf(const std::vector<MadeSection> &sections, uint32_t type = SHT_PROGBITS) {
    auto append = [](std::string &out, const auto &value) {
        out.append(reinterpret_cast<const char *>(&value), sizeof value);
    };
    std::string data;
    std::string names(1, '\0');
    std::vector<Elf64_Shdr> headers(1);
    for (const MadeSection &section : sections) {
        data.resize((data.size() + 15) / 16 * 16);
        Elf64_Shdr header{};
        header.sh_name = static_cast<uint32_t>(names.size());
        header.sh_type = type;
        header.sh_flags = section.flags;
        header.sh_addr = dataAddress + data.size();
        header.sh_offset = fileOffsetOfCode + codeBytes + data.size();
        header.sh_size = section.bytes.size();
        headers.push_back(header);
        names += section.name + '\0';
        data += section.bytes;
    }
    size_t dataBytes = data.size();
    Elf64_Shdr nameHeader{};
    nameHeader.sh_name = static_cast<uint32_t>(names.size());
    nameHeader.sh_type = SHT_STRTAB;
    names += std::string(".shstrtab") + '\0';
    nameHeader.sh_offset = fileOffsetOfCode + codeBytes + dataBytes;
    nameHeader.sh_size = names.size();
    headers.push_back(nameHeader);

    Elf64_Ehdr header{};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    header.e_shoff = fileOffsetOfCode + codeBytes + dataBytes + names.size();
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<uint16_t>(headers.size());
    header.e_shstrndx = static_cast<uint16_t>(headers.size() - 1);
    std::string file;
    append(file, header);
    Elf64_Phdr code{PT_LOAD, PF_R | PF_X, fileOffsetOfCode, codeAddress, codeAddress, codeBytes, codeBytes, 4096};
    Elf64_Phdr rest{PT_LOAD, PF_R, fileOffsetOfCode + codeBytes, dataAddress, dataAddress, dataBytes, dataBytes, 4096};
    append(file, code);
    append(file, rest);
    file.resize(fileOffsetOfCode + codeBytes);
    file += data + names;
    for (const Elf64_Shdr &section : headers) {
        append(file, section);
    }
    return file;
}
