// Objects with every kind of C++ vtable; the tests stop in `stop_here`, in the frame of `main`.
#include <cstdio>

namespace farm {

struct Animal {
    virtual ~Animal() = default;
    virtual int legs() const { return 4; }
    virtual int speak() = 0;
    long weight = 1;
};

struct Named {
    virtual const char *name() const { return "nobody"; }
    virtual ~Named() {}
    long id = 2;
};

// Single inheritance.
struct Dog : Animal {
    int speak() override { return 1; }
    virtual void wag() {}
};

// Multiple inheritance: a secondary table with thunks.
struct Horse : Animal, Named {
    int speak() override { return 2; }
    const char *name() const override { return "horse"; }
};

// Virtual inheritance: vbase and vcall offsets before the table, construction vtables, virtual thunks.
struct Root {
    virtual int root() { return 0; }
    virtual ~Root() {}
    long r = 3;
};
struct Left : virtual Root {
    int root() override { return 1; }
    virtual int left() { return 1; }
    long l = 4;
};
struct Right : virtual Root {
    virtual int right() { return 2; }
    long q = 5;
};
struct Bottom : Left, Right {
    int root() override { return 3; }
    int right() override { return 4; }
    virtual int bottom() { return 5; }
    long b = 6;
};

template <class T> struct Holder : Animal {
    T held{};
    int speak() override { return sizeof(T); }
};

// Covariant results: a thunk that adjusts the result.
struct Maker {
    virtual Animal *make() { return nullptr; }
    virtual Named *call() { return nullptr; }
};
struct HorseMaker : Maker {
    Horse *make() override { return nullptr; }
    Horse *call() override { return nullptr; }
};

struct Plain {
    int number = 1;
};

}  // namespace farm

namespace {
struct Hidden : farm::Named {
    const char *name() const override { return "hidden"; }
};
}  // namespace

extern "C" __attribute__((noinline)) void stop_here(void *object) {
    asm volatile("" : : "r"(object) : "memory");
}

int main() {
    farm::Dog dog;
    farm::Horse horse;
    farm::Bottom bottom;
    farm::Left left;
    farm::Holder<long long> holder;
    farm::HorseMaker maker;
    farm::Plain plain;
    Hidden hidden;
    farm::Animal *animal = &horse;
    farm::Named *named = &horse;
    farm::Root *root = &bottom;
    farm::Right *right = &bottom;
    farm::Animal &reference = dog;
    farm::Named *nobody = nullptr;
    farm::Named *anonymous = &hidden;
    stop_here(&maker);
    std::printf("%d %s %d %d %d %d %d %s %d\n", animal->speak(), named->name(), root->root(), right->right(),
                reference.speak(), holder.speak(), left.left(), anonymous->name(), plain.number + !nobody);
    return 0;
}
