// A C++ program whose functions are for the most part inlined into each other: templates, lambdas, local classes,
// sorting, text.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

struct Shape {
    virtual ~Shape() {}
    virtual double area() const = 0;
};

template <int Corners> struct Polygon : Shape {
    double side;
    explicit Polygon(double length) : side(length) {}
    double area() const override {
        double sum = 0;
        for (int i = 0; i < Corners; i++) {
            sum += side * i;
        }
        return sum;
    }
};

namespace {
int hidden(int x) {
    return std::max(x, 3) * 7;
}
} // namespace

using Words = std::map<std::string, std::vector<int>>;

static Words parse(int argc, char **argv) {
    Words words;
    std::regex form("([a-z]+)([0-9]*)");
    for (int i = 1; i < argc; i++) {
        std::smatch match;
        std::string text(argv[i]);
        if (std::regex_match(text, match, form)) {
            words[match[1]].push_back(std::stoi("0" + match[2].str()));
        }
    }
    return words;
}

int main(int argc, char **argv) {
    Words words = parse(argc, argv);
    std::vector<std::unique_ptr<Shape>> shapes;
    shapes.push_back(std::make_unique<Polygon<3>>(2));
    shapes.push_back(std::make_unique<Polygon<8>>(argc));
    std::sort(shapes.begin(), shapes.end(), [](const auto &a, const auto &b) { return a->area() < b->area(); });
    std::function<int(int)> measure = [&](int x) {
        struct Local {
            int count;
            int go() {
                std::string text(static_cast<size_t>(count), 'x');
                return static_cast<int>(text.size());
            }
        };
        return Local{x}.go() + hidden(x);
    };
    for (auto &[word, numbers] : words) {
        std::sort(numbers.begin(), numbers.end());
        std::cout << word << numbers.size() << measure(argc) << '\n';
    }
    for (const auto &shape : shapes) {
        std::cout << shape->area() << '\n';
    }
    std::cout << "ready" << std::endl;
    std::cin.get();
}
