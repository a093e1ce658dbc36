"""Given names that many people have, to tell columns of people's names from columns of titles. Case-folded."""

from typing import Final

_TEXT: Final = """
    aaron abdul abdullah abigail ada adam adele adrian agnes ahmad ahmed aisha akira alan albert alejandro alex
    alexander alexandra alexandre alexis alfred ali alice alicia alina alison allison alma amal amanda amara
    amelia amina amir amit amy ana anastasia anders andre andrea andreas andrei andres andrew andy angela
    angelica anil anita anja ann anna anne annette annika anthony antoine anton antonia antonio anya april arjun
    arnold arthur arun asha ashley astrid audrey aurora ava axel ayesha barbara beatrice beatriz ben benedikt
    benjamin bernard bernd beth bianca bill birgit bjorn bob boris brandon brenda brian bridget bruno caleb
    camila camille carina carl carla carlos carmen carol carolina caroline catherine cecilia celine chad charles
    charlotte chen chiara chloe chris christian christina christine christopher claire clara claudia claus colin
    connor corinna cristina cynthia daisuke dan daniel daniela danielle dario david deborah deepak denis dennis
    diana diego dieter dimitri dirk dmitri dominic don donald dorothy douglas dylan edgar eduardo edward eleanor
    elena eli elias elif elijah elisa elisabeth elizabeth ella ellen elsa emil emilia emily emma emmanuel
    enrique eric erica erik erin ernst esra esther ethan eugene eva evan eve evelyn fabian farah fatima fatou
    felicia felipe felix fernanda fernando finn fiona florian frances francesca francesco francis francisco
    franco frank frans franz freya frida friedrich gabriel gabriela gary georg george gerald gerd gianni gina
    giovanni giulia giuseppe gloria gonzalo grace graham greta guido guillaume gustav hana hannah hans harold
    harry hassan heather hector heidi heike helen helena helga henrik henry hiroshi holger hugo ian ibrahim ida
    ines ingrid irene irina isaac isabel isabella ivan jack jacob jacqueline jake james jamie jan jana jane
    janet jason javier jean jeff jeffrey jennifer jens jeremy jerome jesper jessica jesus jill jim jing joan
    joanna joao joe johan johann johanna johannes john jon jonas jonathan jordan jorge jose josef joseph joshua
    juan judith julia julian juliana julie julien jun jurgen justin kai kamal karen karin karl kate katharina
    katherine kathrin kathy katja katrin kavita keith kelly ken kenji kenneth kerstin kevin khadija kim klaus
    kofi konrad kristen kristin kumar kurt kwame kyle laila lars laura lauren laurent layla lea leah lee leila
    lena leo leon leonardo leticia li liam lidia lily lin linda lisa liu liz lorenzo louis louise luca lucas
    lucia lucy luis luisa lukas luke lydia magda magnus maja malik manfred manuel mara marc marcel marcia marco
    marcos marcus margaret maria mariana marie marina mario marion mark markus marta martha martin martina mary
    mateo mathias matteo matthew matthias maurice max maximilian maya megan mei melanie melissa mia michael
    michaela michel michelle miguel mike mikhail mila milan mina mira miriam mohamed mohammed moritz muhammad
    nadia nadine nancy naomi natalia natalie natasha nathan neha neil nicholas nick nicola nicolas nicole niels
    nikita nikolai nils nina noah noor nora norbert oksana ola olaf oleg olga oliver olivia omar oscar oskar
    otto owen pablo pamela paolo patricia patrick paul paula paulo pavel pedro penelope peng per peter petra
    philip philipp pia pierre piotr priya rachel rafael rahul raj rajesh ralf ramon rania raphael raul ravi
    raymond rebecca regina renata rene ricardo richard rita robert roberto robin roger roland roman ronald rosa
    rose ruth ryan sabine sabrina said sally salma sam samantha samir samuel sandra sanjay sara sarah saskia
    satoshi scott sean sebastian selma sergei sergio shirley shreya silke silvia simon simone sina sofia sonja
    sophia sophie stefan stefanie stella stephan stephanie stephen steve steven sunita susan susanne sven
    svetlana sylvia takashi tamara tanja tariq tatiana ted teresa theo theodor theresa thomas thorsten tim timo
    tina tobias todd tom tomas tony tristan uwe valentina valeria vanessa vera verena victor victoria vijay
    viktor vincent viola virginia vivian vladimir walter wang wei werner wilhelm will william wolfgang xavier
    yan yana yasmin yuki yuri yusuf yvonne zahra zainab zara zhang zoe
"""
GIVEN_NAMES: Final = frozenset(_TEXT.split())
