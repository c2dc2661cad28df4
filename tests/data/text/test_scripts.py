import pytest

from keras_transformer.data.text.scripts import SPACED_RUN, UNSPACED, is_unspaced

UNSPACED_TEXTS = {
    "Chinese": "我们必须解决这个问题。",
    "Chinese with English": "我们用 TensorFlow 解决这个问题，好吗？",
    "Japanese": "これは私たちが解決しなければならない問題です。",
    "half-width kana": "ｺﾚﾊ ﾓﾝﾀﾞｲ ﾃﾞｽ",
    "Thai": "นี่คือปัญหาที่เราต้องแก้ไข",
    "Lao": "ນີ້ແມ່ນບັນຫາ",
    "Tibetan": "འདི་ནི་གནད་དོན་ཞིག་རེད།",
    "Burmese": "ဒါက ပြဿနာတစ်ခုပါ။",
    "Khmer": "នេះគឺជាបញ្ហា",
    "beyond the basic plane": "𠀀𠮷",
}
SPACED_TEXTS = {
    "English": "this is a problem.",
    "Korean": "이것은 우리가 해결해야 할 문제입니다.",
    "Arabic": "هذه مشكلة يجب أن نحلها",
    "Hindi": "यह एक समस्या है",
    "Amharic": "ይህ ችግር ነው",
    "English with Chinese": "the word 问题 means problem",
    "no letters": "1,000 。、 😀",
    "nothing": "",
}


@pytest.mark.parametrize("text", UNSPACED_TEXTS.values(), ids=UNSPACED_TEXTS)
def test_scripts_without_spaces(text):
    assert is_unspaced(text)


@pytest.mark.parametrize("text", SPACED_TEXTS.values(), ids=SPACED_TEXTS)
def test_scripts_with_spaces(text):
    assert not is_unspaced(text)


def test_every_character_is_of_one_kind_or_the_other():
    for text in [*UNSPACED_TEXTS.values(), *SPACED_TEXTS.values()]:
        spaced = "".join(SPACED_RUN.findall(text))
        assert sorted(spaced + "".join(UNSPACED.findall(text))) == sorted(text)
